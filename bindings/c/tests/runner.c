/* The runner for C (tests/scenarios/README.md): requests in, answers out, one line each. What the
 * protocol says of values becomes the JSON that the functions take; their answers go out as they are. */

#include <cjson/cJSON.h>
#include <pos_connect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key storage of the host's own. */
struct vault {
    char *text;
    const char *failure;
};

/* What stands under a name. */
struct kept {
    struct kept *next;
    char *name;
    PosConnection connection;
    char *store;
    char *journal_folder;
    struct vault *vault;
};

static struct kept *all;

static void *have(void *memory) {
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static char *copy(const char *text) {
    char *made = have(malloc(strlen(text) + 1));
    return strcpy(made, text);
}

static int vault_load(void *context, char **text) {
    struct vault *vault = context;
    const char *told = vault->failure != NULL ? vault->failure : vault->text;
    *text = told != NULL ? copy(told) : NULL;
    return vault->failure != NULL;
}

static int vault_replace(void *context, const char *old_text, const char *new_text, int *replaced) {
    struct vault *vault = context;
    const char *kept = vault->text;
    *replaced = kept == NULL ? old_text == NULL : old_text != NULL && strcmp(kept, old_text) == 0;
    if (*replaced) {
        free(vault->text);
        vault->text = copy(new_text);
    }
    return vault->failure != NULL;
}

static void vault_release(void *context, char *text) {
    (void)context;
    free(text);
}

static const char *member(const cJSON *of, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(of, name));
}

static struct kept *find(const char *name) {
    struct kept *one = all;
    while (one != NULL && name != NULL && strcmp(one->name, name) != 0) {
        one = one->next;
    }
    return one;
}

static void forget(const char *name) {
    struct kept **place = &all;
    while (*place != NULL && strcmp((*place)->name, name) != 0) {
        place = &(*place)->next;
    }
    struct kept *one = *place;
    if (one == NULL) {
        return;
    }
    *place = one->next;
    if (one->connection != 0) {
        pos_free(pos_close(one->connection));
    }
    free(one->name);
    free(one->store);
    free(one->journal_folder);
    /* A vault stays: a connection may still use it. */
    free(one);
}

static struct kept *keep(const char *name) {
    forget(name);
    struct kept *one = have(calloc(1, sizeof *one));
    one->name = copy(name);
    one->next = all;
    all = one;
    return one;
}

static cJSON *odd(const char *word) {
    if (strcmp(word, "nan") == 0) {
        return cJSON_CreateRaw("NaN");
    }
    if (strcmp(word, "minus_one") == 0) {
        return cJSON_CreateRaw("-1");
    }
    if (strcmp(word, "two_to_63") == 0) {
        return cJSON_CreateRaw("9223372036854775808");
    }
    if (strcmp(word, "lone_surrogate") == 0) {
        return cJSON_CreateRaw("\"\\ud800\"");
    }
    if (strcmp(word, "bytes") == 0) {
        return cJSON_CreateRaw("\"\xff\xfe\"");
    }
    if (strcmp(word, "megabyte") == 0) {
        size_t length = 1 << 20;
        char *text = have(malloc(length + 1));
        memset(text, 'x', length);
        text[length] = '\0';
        cJSON *made = cJSON_CreateString(text);
        free(text);
        return made;
    }
    return cJSON_CreateObject();
}

static cJSON *natural(const cJSON *value);

static cJSON *members(const cJSON *of) {
    cJSON *made = cJSON_CreateObject();
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, of) {
        cJSON_AddItemToObject(made, one->string, natural(one));
    }
    return made;
}

/* The protocol's value as the JSON that the functions take. */
static cJSON *natural(const cJSON *value) {
    if (cJSON_IsArray(value)) {
        cJSON *made = cJSON_CreateArray();
        const cJSON *one = NULL;
        cJSON_ArrayForEach(one, value) {
            cJSON_AddItemToArray(made, natural(one));
        }
        return made;
    }
    if (!cJSON_IsObject(value)) {
        return cJSON_Duplicate(value, 1);
    }
    if (member(value, "odd") != NULL) {
        return odd(member(value, "odd"));
    }
    if (member(value, "octets") != NULL) {
        return cJSON_CreateString(member(value, "octets"));
    }
    if (member(value, "enum") != NULL) {
        return cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(value, "value"), 1);
    }
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(value, "fields");
    if (fields == NULL) {
        return members(value);
    }
    cJSON *made = members(fields);
    const char *variant = member(value, "variant");
    if (variant != NULL) {
        cJSON_AddStringToObject(made, "type", strchr(variant, '.') + 1);
    }
    return made;
}

static char *printed(cJSON *json) {
    char *text = have(cJSON_PrintUnformatted(json));
    cJSON_Delete(json);
    return text;
}

/* `{"ok":X}` is `{"value":X}` to the protocol, and `{"error":…}` is itself. */
static void say(char *answer) {
    const char *ok = "{\"ok\":";
    if (strncmp(answer, ok, strlen(ok)) == 0) {
        printf("{\"value\":%s\n", answer + strlen(ok));
    } else {
        puts(answer);
    }
    pos_free(answer);
}

/* Whether an operation was found is a variant: `{"type":"found",…}`. */
static void say_variant(char *answer, const char *of) {
    cJSON *json = have(cJSON_Parse(answer));
    cJSON *fields = cJSON_DetachItemFromObjectCaseSensitive(json, "ok");
    cJSON_Delete(json);
    if (fields == NULL) {
        say(answer);
        return;
    }
    pos_free(answer);
    char name[64];
    snprintf(name, sizeof name, "%s.%s", of, member(fields, "type"));
    cJSON *value = cJSON_CreateObject();
    cJSON_AddStringToObject(value, "variant", name);
    cJSON_AddItemToObject(value, "fields", fields);
    char *text = printed(value);
    printf("{\"value\":%s}\n", text);
    free(text);
}

static struct vault *vault_of(const cJSON *said) {
    struct vault *vault = have(calloc(1, sizeof *vault));
    const char *text = member(said, "text");
    if (strcmp(member(said, "storage"), "raises") == 0) {
        vault->failure = copy(text);
    } else if (text != NULL) {
        vault->text = copy(text);
    }
    return vault;
}

static void make(const char *call, const cJSON *arguments, const char *name) {
    char *answer = NULL;
    if (strncmp(call, "Store.", 6) == 0) {
        struct kept *store = keep(name);
        if (strcmp(call, "Store.of_host") == 0) {
            store->vault = vault_of(cJSON_GetObjectItemCaseSensitive(arguments, "storage"));
            store->journal_folder = copy(member(arguments, "journal_folder"));
        } else {
            cJSON *place = members(arguments);
            cJSON_AddStringToObject(place, "type", call + 6);
            store->store = printed(place);
        }
    } else {
        char *config = printed(natural(cJSON_GetObjectItemCaseSensitive(arguments, "config")));
        const struct kept *store =
            find(member(cJSON_GetObjectItemCaseSensitive(arguments, "store"), "kept"));
        PosConnection connection = 0;
        if (store->vault != NULL) {
            PosKeyStorage storage = {store->vault, vault_load, vault_replace, vault_release, NULL};
            answer = pos_open_with_storage(config, storage, store->journal_folder, &connection);
        } else {
            answer = pos_open(config, store->store, &connection);
        }
        free(config);
        if (connection == 0) {
            say(answer);
            return;
        }
        pos_free(answer);
        keep(name)->connection = connection;
    }
    printf("{\"kept\":\"%s\"}\n", name);
}

static void answer(const cJSON *request) {
    const char *call = member(request, "call");
    const char *on = member(request, "on");
    const cJSON *arguments = cJSON_GetObjectItemCaseSensitive(request, "arguments");
    if (member(request, "drop") != NULL) {
        forget(member(request, "drop"));
        puts("{\"value\":null}");
        return;
    }
    if (member(request, "keep") != NULL) {
        make(call, arguments, member(request, "keep"));
        return;
    }
    char *text = printed(members(arguments));
    if (on == NULL) {
        say(strcmp(call, "seal") == 0 ? pos_seal(text) : pos_verify(text));
    } else if (strcmp(call, "operation") == 0) {
        say_variant(pos_call(find(on)->connection, call, text), "KeyStatus");
    } else {
        say(pos_call(find(on)->connection, call, text));
    }
    free(text);
}

int main(void) {
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        cJSON *request = have(cJSON_Parse(line));
        answer(request);
        cJSON_Delete(request);
        fflush(stdout);
    }
    free(line);
    while (all != NULL) {
        forget(all->name);
    }
    return 0;
}
