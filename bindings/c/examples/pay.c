/* A shop that registers, seals and pays. It reads the test bed's one line from standard input (see README.md). */

#include <cjson/cJSON.h>
#include <pos_connect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cJSON *at(const cJSON *json, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

/* The value of an answer, or NULL after the error was told. */
static cJSON *value_of(const char *what, char *answer) {
    cJSON *json = cJSON_Parse(answer);
    pos_free(answer);
    cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(json, "ok");
    if (value == NULL) {
        const cJSON *error = at(json, "error");
        fprintf(stderr, "%s: %s (%s): %s\n", what, cJSON_GetStringValue(at(error, "kind")),
                cJSON_GetStringValue(at(error, "code")), cJSON_GetStringValue(at(error, "text")));
    }
    cJSON_Delete(json);
    return value;
}

/* Takes the arguments, and calls the verb. */
static cJSON *call(PosConnection line, const char *verb, cJSON *arguments) {
    char *text = cJSON_PrintUnformatted(arguments);
    cJSON_Delete(arguments);
    cJSON *value = value_of(verb, pos_call(line, verb, text));
    cJSON_free(text);
    return value;
}

static void add(cJSON *to, const char *name, const cJSON *value) {
    cJSON_AddItemToObject(to, name, cJSON_Duplicate(value, 1));
}

static void add_text(cJSON *to, const char *name, const char *text) {
    cJSON_AddStringToObject(to, name, text);
}

/* The order: what is bought, and for how much. */
static cJSON *order_of(double amount) {
    cJSON *order = cJSON_CreateObject();
    add_text(order, "order_id", "order-1");
    cJSON_AddNumberToObject(order, "amount", amount);
    add_text(order, "currency", "JPY");
    return order;
}

/* What the shopper's page does: it seals the card to the institution of the quote. */
static cJSON *sealed(const cJSON *quote, const cJSON *card, double amount) {
    const cJSON *contract = at(quote, "contract");
    cJSON *binding = order_of(amount);
    add(binding, "institution", at(contract, "institution"));
    add(binding, "contract_number", at(contract, "contract_number"));
    add_text(binding, "operation", "sale");
    cJSON *arguments = cJSON_CreateObject();
    add(arguments, "instrument", card);
    cJSON_AddItemToObject(arguments, "binding", binding);
    add(arguments, "seal_keys", at(quote, "seal_keys"));
    add(arguments, "seal_root", at(contract, "seal_root"));
    char *text = cJSON_PrintUnformatted(arguments);
    cJSON_Delete(arguments);
    cJSON *envelope = value_of("seal", pos_seal(text));
    cJSON_free(text);
    return envelope;
}

static int pay(PosConnection line, const cJSON *bed) {
    const cJSON *person = cJSON_GetArrayItem(at(bed, "unregistered"), 0);
    cJSON *arguments = cJSON_Duplicate(person, 1);
    add_text(arguments, "password", "a password of my own choice");
    cJSON *registration = call(line, "register", arguments);
    cJSON_Delete(registration);

    cJSON *request = order_of(1200);
    add_text(request, "method", "card:visa");
    arguments = cJSON_CreateObject();
    cJSON_AddItemToObject(arguments, "request", request);
    cJSON *quote = call(line, "quote", arguments);

    const cJSON *card = at(at(at(bed, "instruments"), "approve"), "instrument");
    cJSON *order = order_of(1200);
    add(order, "contract_id", at(at(quote, "contract"), "contract_id"));
    cJSON_AddItemToObject(order, "envelope", sealed(quote, card, 1200));
    cJSON_Delete(quote);
    arguments = cJSON_CreateObject();
    cJSON_AddItemToObject(arguments, "order", order);
    add_text(arguments, "idempotency_key", "order-1-sale-0001");
    cJSON *operation = call(line, "pay", arguments);
    const char *state = cJSON_GetStringValue(at(operation, "state"));
    const cJSON *done = at(operation, "done_amount");
    printf("order-1: %s, %.0f JPY\n", state != NULL ? state : "?", cJSON_GetNumberValue(done));
    int is_paid = state != NULL && strcmp(state, "done") == 0;
    cJSON_Delete(operation);
    return is_paid ? 0 : 1;
}

int main(void) {
    char *text = NULL;
    size_t size = 0;
    if (getline(&text, &size, stdin) <= 0) {
        fputs("give the test bed's line to standard input\n", stderr);
        return 1;
    }
    cJSON *bed = cJSON_Parse(text);
    free(text);
    cJSON *config = cJSON_CreateObject();
    const cJSON *server = at(bed, "server");
    add(config, "server_url", at(server, "tls_url"));
    add(config, "authority", at(server, "authority"));
    add(config, "ca_pem", at(server, "ca_pem"));
    char *settings = cJSON_PrintUnformatted(config);
    cJSON_Delete(config);

    PosConnection line = 0;
    cJSON *opened = value_of("open", pos_open(settings, "{\"type\":\"in_memory\"}", &line));
    cJSON_free(settings);
    int code = opened != NULL ? pay(line, bed) : 1;
    cJSON_Delete(opened);
    pos_free(pos_close(line));
    cJSON_Delete(bed);
    return code;
}
