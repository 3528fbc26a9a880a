/* The edge itself: null pointers, texts that are none, unknown verbs, use after close, threads, a
 * storage of the host's. No server is needed. */

#include <pos_connect.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failures;

/* The answer holds each of the parts; it is freed here. */
static void is(const char *what, char *answer, const char *first, const char *second) {
    if (answer == NULL || strstr(answer, first) == NULL || strstr(answer, second) == NULL) {
        fprintf(stderr, "%s: expected %s %s, but got %s\n", what, first, second, answer ? answer : "NULL");
        failures++;
    }
    pos_free(answer);
}

static void refuses(const char *what, char *answer, const char *field) {
    char named[64];
    snprintf(named, sizeof named, "\"field\":\"%s\"", field);
    is(what, answer, "{\"error\":{\"kind\":\"fix_the_request\",\"code\":\"invalid_field\"", named);
}

static const char *const CONFIG = "{\"server_url\":\"http://127.0.0.1:1\",\"total_timeout_s\":6,\"connect_timeout_s\":1}";
static const char *const MEMORY = "{\"type\":\"in_memory\"}";

static void *calls(void *connection) {
    for (int turn = 0; turn < 200; turn++) {
        is("a thread", pos_call(*(PosConnection *)connection, "methods", "{}"), "not_registered", "sign_in_again");
    }
    return NULL;
}

static const char *failure = "the vault is sealed";

static int fails(void *context, char **text) {
    (void)context;
    *text = malloc(64);
    if (*text == NULL) {
        return 2;
    }
    strcpy(*text, failure);
    return 1;
}

static int replaces(void *context, const char *old_text, const char *new_text, int *replaced) {
    (void)context, (void)old_text, (void)new_text;
    *replaced = 0;
    return 1;
}

static void releases(void *context, char *text) {
    (*(int *)context)++;
    free(text);
}

/* A vault that is slow: `load` waits until it is opened. */
struct slow {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    PosConnection line;
    int is_asked, is_opened, drops, uses_after;
};

static void set(struct slow *slow, int *place) {
    pthread_mutex_lock(&slow->lock);
    (*place)++;
    pthread_cond_broadcast(&slow->changed);
    pthread_mutex_unlock(&slow->lock);
}

static void wait_for(struct slow *slow, const int *place) {
    pthread_mutex_lock(&slow->lock);
    while (*place == 0) {
        pthread_cond_wait(&slow->changed, &slow->lock);
    }
    pthread_mutex_unlock(&slow->lock);
}

static int loads_slowly(void *context, char **text) {
    struct slow *slow = context;
    (void)text;
    set(slow, &slow->is_asked);
    wait_for(slow, &slow->is_opened);
    pthread_mutex_lock(&slow->lock);
    slow->uses_after += slow->drops;
    pthread_mutex_unlock(&slow->lock);
    return 1;
}

static int never_replaces(void *context, const char *old_text, const char *new_text, int *replaced) {
    (void)context, (void)old_text, (void)new_text, (void)replaced;
    return 1;
}

static void never_releases(void *context, char *text) {
    (void)context, (void)text;
}

static void drops(void *context) {
    struct slow *slow = context;
    set(slow, &slow->drops);
}

static void *calls_slowly(void *context) {
    struct slow *slow = context;
    is("a call that outlives its connection", pos_call(slow->line, "methods", "{}"), "key_store", "it failed with 1");
    return NULL;
}

static void expect(const char *what, int got, int wanted) {
    if (got != wanted) {
        fprintf(stderr, "%s: expected %d, but got %d\n", what, wanted, got);
        failures++;
    }
}

/* A storage is said to be dropped once, and never while a call still uses it. */
static void check_drops(const char *folder) {
    struct slow slow = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    PosKeyStorage storage = {&slow, loads_slowly, never_replaces, never_releases, drops};
    is("a slow vault", pos_open_with_storage(CONFIG, storage, folder, &slow.line), "{\"ok\":null}", "");
    pthread_t thread;
    pthread_create(&thread, NULL, calls_slowly, &slow);
    wait_for(&slow, &slow.is_asked);
    is("closed under a call", pos_close(slow.line), "{\"ok\":null}", "");
    expect("drops under a call", slow.drops, 0);
    set(&slow, &slow.is_opened);
    pthread_join(thread, NULL);
    expect("drops after it", slow.drops, 1);
    expect("uses after the drop", slow.uses_after, 0);

    /* Nor is one forgotten that was never used. */
    slow.drops = 0;
    refuses("no settings", pos_open_with_storage(NULL, storage, folder, &slow.line), "config");
    expect("drops without settings", slow.drops, 1);
    refuses("nowhere to write", pos_open_with_storage(CONFIG, storage, folder, NULL), "connection");
    expect("drops without a place", slow.drops, 2);
    storage.load = NULL;
    refuses("nothing to load by", pos_open_with_storage(CONFIG, storage, folder, &slow.line), "storage");
    expect("drops without a function", slow.drops, 3);
}

static void written(const char *place, const char *text) {
    FILE *file = fopen(place, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0 || chmod(place, 0600) != 0) {
        perror(place);
        exit(1);
    }
}

/* Whatever is wrong with a call under the key of a payment that may have been made: ask, and by which key. */
static void in_doubt(const char *what, char *answer, const char *code) {
    char told[64];
    snprintf(told, sizeof told, "\"code\":\"%s\"", code);
    if (answer != NULL && strstr(answer, "\"idempotency_key\":\"order-1-sale-0001\"") == NULL) {
        fprintf(stderr, "%s: the key is not named\n", what);
        failures++;
    }
    is(what, answer, "{\"error\":{\"kind\":\"ask_for_status\"", told);
}

static const char *const OPEN = "{\"idempotency_key\":\"order-1-sale-0001\"}";
static const char *const OPEN_PAY =
    "{\"order\":{\"contract_id\":\"c\",\"order_id\":\"o\",\"amount\":1,\"currency\":\"JPY\",\"envelope\":\"{}\"},"
    "\"idempotency_key\":\"order-1-sale-0001\"}";
static const char *const OPEN_VOID =
    "{\"payment_id\":\"pay_014d2pf2dbzzzzzzzzzzzzzzzz\",\"idempotency_key\":\"order-1-sale-0001\"}";
static const char *const FRESH_VOID =
    "{\"payment_id\":\"pay_014d2pf2dbzzzzzzzzzzzzzzzz\",\"idempotency_key\":\"order-2-sale-0001\"}";

static void refuses_in_doubt(const char *what, PosConnection line) {
    is(what, pos_call(line, "methods", "{}"), "fix_the_request", "\"code\":\"closed\"");
    in_doubt(what, pos_call(line, "resume", OPEN), "closed");
    in_doubt(what, pos_call(line, "void", OPEN_VOID), "closed");
    in_doubt(what, pos_call(line, "pay", OPEN_PAY), "invalid_field");
    is(what, pos_call(line, "operation", OPEN), "fix_the_request", "\"code\":\"closed\"");
}

/* A payment that cannot be read is open, as far as anybody knows. No error about its key says that nothing was moved:
 * not for arguments of a wrong type, not after the connection was closed, and not once it is forgotten. */
static void check_doubt(void) {
    char folder[] = "pos-doubt-XXXXXX", place[64], store[64];
    if (mkdtemp(folder) == NULL) {
        perror("mkdtemp");
        exit(1);
    }
    snprintf(store, sizeof store, "{\"type\":\"in_folder\",\"folder\":\"%s\"}", folder);
    PosConnection line = 0;
    is("a folder", pos_open(CONFIG, store, &line), "{\"ok\":null}", "");
    snprintf(place, sizeof place, "%s/journal/order-1-sale-0001.json", folder);
    written(place, "{}\n");

    in_doubt("an amount that is a text",
             pos_call(line, "pay", "{\"order\":{\"contract_id\":\"c\",\"order_id\":\"o\",\"amount\":\"1200\"},"
                                   "\"idempotency_key\":\"order-1-sale-0001\"}"),
             "invalid_field");
    in_doubt("an argument too many", pos_call(line, "resume", "{\"idempotency_key\":\"order-1-sale-0001\",\"a\":1}"), "invalid_field");
    refuses("under another key", pos_call(line, "void", "{\"payment_id\":7,\"idempotency_key\":\"order-2-sale-0001\"}"), "payment_id");
    refuses("a key that is none", pos_call(line, "void", "{\"payment_id\":7,\"idempotency_key\":7}"), "idempotency_key");
    refuses("what moves nothing", pos_call(line, "operation", "{\"idempotency_key\":\"order-1-sale-0001\",\"a\":1}"), "a");

    is("closed", pos_close(line), "{\"ok\":null}", "");
    refuses_in_doubt("closed", line);
    is("a fresh key", pos_call(line, "void", FRESH_VOID), "fix_the_request", "\"code\":\"closed\"");

    for (int more = 0; more < 300; more++) {
        PosConnection other = 0;
        pos_free(pos_open(CONFIG, MEMORY, &other));
        pos_free(pos_close(other));
    }
    refuses_in_doubt("forgotten", line);
    is("any key then", pos_call(line, "void", FRESH_VOID), "ask_for_status", "\"code\":\"closed\"");
    refuses_in_doubt("made up", 12345678901234567890u);

    remove(place);
    snprintf(place, sizeof place, "%s/journal", folder);
    rmdir(place);
    rmdir(folder);
}

int main(void) {
    PosConnection line = 7;
    refuses("no config", pos_open(NULL, MEMORY, &line), "config");
    if (line != 0) {
        fprintf(stderr, "the number is not 0 after an error\n");
        failures++;
    }
    refuses("no store", pos_open(CONFIG, NULL, &line), "store");
    refuses("nowhere to write", pos_open(CONFIG, MEMORY, NULL), "connection");
    refuses("no JSON", pos_open("", MEMORY, &line), "config");
    refuses("no URL", pos_open("{}", MEMORY, &line), "server_url");
    refuses("an unknown setting", pos_open("{\"server_url\":\"x\",\"tip\":1}", MEMORY, &line), "tip");
    refuses("no UTF-8", pos_open("\xff\xfe", MEMORY, &line), "config");
    refuses("no folder", pos_open(CONFIG, "{\"type\":\"in_folder\"}", &line), "folder");
    refuses("no such store", pos_open(CONFIG, "{\"type\":\"in_space\"}", &line), "type");
    is("plain HTTP elsewhere", pos_open("{\"server_url\":\"http://pos.example\"}", MEMORY, &line), "fix_the_request", "configuration");

    is("opened", pos_open(CONFIG, MEMORY, &line), "{\"ok\":null}", "");
    refuses("no verb", pos_call(line, NULL, "{}"), "verb");
    refuses("no arguments", pos_call(line, "pay", NULL), "arguments");
    refuses("an unknown verb", pos_call(line, "steal", "{}"), "verb");
    refuses("a verb that is no UTF-8", pos_call(line, "\xff", "{}"), "verb");
    refuses("arguments that are no UTF-8", pos_call(line, "payment", "{\"payment_id\":\"\xff\"}"), "arguments");
    refuses("a list", pos_call(line, "payment", "[\"pay_014d2pf2dbzzzzzzzzzzzzzzzz\"]"), "arguments");
    refuses("an argument is missing", pos_call(line, "payment", "{}"), "payment_id");
    refuses("an argument too many", pos_call(line, "key_id", "{\"a\":1}"), "a");
    refuses("NaN", pos_call(line, "refund", "{\"payment_id\":\"p\",\"amount\":NaN,\"currency\":\"JPY\"}"), "amount");
    refuses("a NUL in a text", pos_call(line, "payment_of_order", "{\"order_id\":\"order-1\\u0000\"}"), "order_id");
    is("not registered", pos_call(line, "methods", "{}"), "sign_in_again", "not_registered");
    is("not registered, by an argument that is none", pos_call(line, "methods", "{\"pos_id\":null}"), "sign_in_again", "not_registered");

    pthread_t threads[4];
    for (int at = 0; at < 4; at++) {
        pthread_create(&threads[at], NULL, calls, &line);
    }
    for (int at = 0; at < 4; at++) {
        pthread_join(threads[at], NULL);
    }

    is("closed", pos_close(line), "{\"ok\":null}", "");
    is("a call after that", pos_call(line, "methods", "{}"), "fix_the_request", "\"code\":\"closed\"");
    is("closed twice", pos_close(line), "fix_the_request", "\"code\":\"closed\"");
    is("none", pos_close(0), "fix_the_request", "\"code\":\"closed\"");
    is("made up", pos_call(12345678901234567890u, "methods", "{}"), "fix_the_request", "\"code\":\"closed\"");

    int released = 0;
    PosKeyStorage storage = {&released, fails, replaces, releases, NULL};
    char folder[] = "pos-edge-XXXXXX";
    if (mkdtemp(folder) == NULL) {
        perror("mkdtemp");
        return 1;
    }
    is("a host's storage", pos_open_with_storage(CONFIG, storage, folder, &line), "{\"ok\":null}", "");
    is("that fails", pos_call(line, "methods", "{}"), "key_store", "the vault is sealed");
    expect("releases of the text", released, 1);
    failure = "no vault for {\"module_key\":\"AAAA\"}";
    is("and says too much", pos_call(line, "methods", "{}"), "key_store", "its reason is not shown");
    pos_free(pos_close(line));
    check_drops(folder);
    check_doubt();
    remove(folder);
    storage.release = NULL;
    refuses("a function is missing", pos_open_with_storage(CONFIG, storage, folder, &line), "storage");

    refuses("nothing to seal", pos_seal(NULL), "arguments");
    refuses("an instrument without a number", pos_seal("{\"instrument\":{\"type\":\"prepaid\"}}"), "number");
    refuses("nothing to verify", pos_verify("{}"), "answer_key");
    refuses("no base64", pos_verify("{\"answer_key\":\"x\",\"call_signature\":\"!\",\"status\":200,\"headers\":{},\"body\":\"\"}"), "call_signature");
    pos_free(NULL);

    size_t length = 1 << 20;
    char *long_text = malloc(length + 1);
    if (long_text == NULL) {
        return 1;
    }
    memset(long_text, '[', length);
    long_text[length] = '\0';
    refuses("a deep list", pos_open(CONFIG, long_text, &line), "store");
    refuses("a deep list to seal", pos_seal(long_text), "arguments");
    free(long_text);

    puts(failures == 0 ? "the edge holds" : "the edge does not hold");
    return failures != 0;
}
