/* A shop that registers, seals and pays. It reads the test bed's one line from standard input (see README.md). */

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <pos_connect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Stored with the order before the call: whatever happens, the same order is never paid twice. */
static const char *const KEY = "order-1-sale-0001";
static const int64_t AMOUNT = 1200;

static const cJSON *at(const cJSON *json, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

static const char *text_at(const cJSON *json, const char *name) {
    const char *text = cJSON_GetStringValue(at(json, name));
    return text != NULL ? text : "";
}

static cJSON *read_and_freed(char *answer) {
    cJSON *json = cJSON_Parse(answer);
    pos_free(answer);
    return json;
}

/* The value of an answer, which goes; or NULL after the error was told. */
static cJSON *value_of(const char *what, cJSON *answer) {
    cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(answer, "ok");
    if (value == NULL) {
        const cJSON *error = at(answer, "error");
        fprintf(stderr, "%s: %s (%s): %s\n", what, text_at(error, "kind"), text_at(error, "code"), text_at(error, "text"));
    }
    cJSON_Delete(answer);
    return value;
}

/* Takes the arguments, and calls the verb. */
static cJSON *called(PosConnection line, const char *verb, cJSON *arguments) {
    char *text = cJSON_PrintUnformatted(arguments);
    cJSON_Delete(arguments);
    cJSON *answer = read_and_freed(pos_call(line, verb, text));
    cJSON_free(text);
    return answer;
}

static void add(cJSON *to, const char *name, const cJSON *value) {
    cJSON_AddItemToObject(to, name, cJSON_Duplicate(value, 1));
}

static void add_text(cJSON *to, const char *name, const char *text) {
    cJSON_AddStringToObject(to, name, text);
}

/* The order: what is bought, and for how much. Money is a whole number of minor units; cJSON's own
 * numbers are doubles, so it is written as a text of digits. */
static cJSON *order_of(int64_t amount) {
    char digits[32];
    snprintf(digits, sizeof digits, "%" PRId64, amount);
    cJSON *order = cJSON_CreateObject();
    add_text(order, "order_id", "order-1");
    cJSON_AddRawToObject(order, "amount", digits);
    add_text(order, "currency", "JPY");
    return order;
}

/* An amount of an answer: the largest is 999,999,999,999, which a double holds as it is. */
static int64_t amount_at(const cJSON *json, const char *name) {
    const cJSON *amount = at(json, name);
    return cJSON_IsNumber(amount) ? (int64_t)amount->valuedouble : 0;
}

/* What the shopper's page does: it seals the card to the institution of the quote. */
static cJSON *sealed(const cJSON *quote, const cJSON *card) {
    const cJSON *contract = at(quote, "contract");
    cJSON *binding = order_of(AMOUNT);
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
    cJSON *envelope = value_of("seal", read_and_freed(pos_seal(text)));
    cJSON_free(text);
    return envelope;
}

static int is_in_doubt(const cJSON *answer) {
    return strcmp(text_at(at(answer, "error"), "kind"), "ask_for_status") == 0;
}

/* Pays, and where the answer is lost asks what became of it. Never pay again under another key. */
static cJSON *paid(PosConnection line, cJSON *order) {
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddItemToObject(arguments, "order", order);
    add_text(arguments, "idempotency_key", KEY);
    cJSON *answer = called(line, "pay", arguments);
    for (int turn = 0; turn < 3 && is_in_doubt(answer); turn++) {
        cJSON_Delete(answer);
        arguments = cJSON_CreateObject();
        add_text(arguments, "idempotency_key", KEY);
        answer = called(line, "resume", arguments);
    }
    return answer;
}

/* What becomes of the order: 0 it is shipped, 1 the shopper may pay again, 2 it waits. */
static int settled(cJSON *answer) {
    if (is_in_doubt(answer)) {
        cJSON_Delete(answer);
        printf("order-1: not known yet; resume %s later\n", KEY);
        return 2;
    }
    cJSON *operation = value_of("pay", answer);
    if (operation == NULL) {
        return 1; /* Every other kind of error says that nothing was moved. */
    }
    const char *state = text_at(operation, "state");
    printf("order-1: %s, %" PRId64 " JPY\n", state, amount_at(operation, "done_amount"));
    int is_final = strcmp(state, "declined") == 0 || strcmp(state, "not_sent") == 0 || strcmp(state, "reversed") == 0;
    int code = strcmp(state, "done") == 0 ? 0 : is_final ? 1 : 2;
    cJSON_Delete(operation);
    return code;
}

static int pay(PosConnection line, const cJSON *bed) {
    cJSON *arguments = cJSON_Duplicate(cJSON_GetArrayItem(at(bed, "unregistered"), 0), 1);
    add_text(arguments, "password", "a password of my own choice");
    cJSON *registration = value_of("register", called(line, "register", arguments));
    if (registration == NULL) {
        return 1;
    }
    cJSON_Delete(registration);

    cJSON *request = order_of(AMOUNT);
    add_text(request, "method", "card:visa");
    arguments = cJSON_CreateObject();
    cJSON_AddItemToObject(arguments, "request", request);
    cJSON *quote = value_of("quote", called(line, "quote", arguments));
    if (quote == NULL) {
        return 1;
    }
    const cJSON *card = at(at(at(bed, "instruments"), "approve"), "instrument");
    cJSON *order = order_of(AMOUNT);
    add(order, "contract_id", at(at(quote, "contract"), "contract_id"));
    cJSON *envelope = sealed(quote, card);
    cJSON_Delete(quote);
    if (envelope == NULL) {
        cJSON_Delete(order);
        return 1;
    }
    cJSON_AddItemToObject(order, "envelope", envelope);
    return settled(paid(line, order));
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
    cJSON *opened = value_of("open", read_and_freed(pos_open(settings, "{\"type\":\"in_memory\"}", &line)));
    cJSON_free(settings);
    /* What was opened is `null`, which cJSON holds as a value too. */
    int code = opened != NULL ? pay(line, bed) : 1;
    cJSON_Delete(opened);
    pos_free(pos_close(line));
    cJSON_Delete(bed);
    return code;
}
