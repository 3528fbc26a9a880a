/*
 * The way from PHP to the library of the connection module. It knows nothing of what the library
 * offers: UniFFI exports each function a second time in one form (words in, words out), so that these
 * few lines serve every function there will be. Which are called, and how values become octets, the
 * PHP package knows, which was generated from the same library.
 *
 * Whoever calls these functions by hand with a handle or words that are none can end the process, as
 * with FFI; the names of functions are held to those that UniFFI exports.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "php.h"
#include "ext/spl/spl_exceptions.h"
#include "ext/standard/info.h"
#include "zend_exceptions.h"

#define VERSION "0.1.0"

/* The most words that the arguments of one call may take. */
#define MOST_WORDS 64

/* What is exported besides the functions themselves. */
#define FROM_BYTES "ffi_pos_connect_api_rustbuffer_from_bytes"
#define FREE "ffi_pos_connect_api_rustbuffer_free"
#define UNIFORM "uniffi_ffibuffer_pos_connect_api_"
#define PLAIN "uniffi_pos_connect_api_"
#define COMMON "ffi_pos_connect_api_"

/* The layouts are uniffi_core's: RustBuffer, ForeignBytes, RustCallStatus, FfiBufferElement. */
typedef struct {
	uint64_t capacity;
	uint64_t length;
	uint8_t *data;
} octets;

typedef struct {
	int32_t length;
	const uint8_t *data;
} borrowed;

typedef struct {
	int8_t code;
	octets error;
} call_status;

typedef union {
	uint64_t word;
	void *pointer;
	int8_t small;
} cell;

/* dlopen() gives every thread the same handle, so that it does not matter which one stores it. */
static _Atomic(void *) library;

static void *opened(void)
{
	void *found = atomic_load(&library);
	const char *path;

	if (found != NULL) {
		return found;
	}
	path = INI_STR("pos_connect_bridge.library");
	if (path == NULL || path[0] != '/') {
		zend_throw_exception(spl_ce_RuntimeException,
			"pos_connect_bridge.library must be set in php.ini, to the whole path of the library", 0);
		return NULL;
	}
	/* Never closed: it has a thread of its own. */
	found = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (found == NULL) {
		zend_throw_exception_ex(spl_ce_RuntimeException, 0,
			"pos_connect_bridge.library cannot be opened: %s", dlerror());
		return NULL;
	}
	atomic_store(&library, found);
	return found;
}

static void *function(const char *name, const char *prefix)
{
	void *from = opened();
	void *found = NULL;

	if (from == NULL) {
		return NULL;
	}
	if (strncmp(name, prefix, strlen(prefix)) == 0) {
		found = dlsym(from, name);
	}
	if (found == NULL) {
		zend_throw_exception_ex(spl_ce_RuntimeException, 0,
			"the library of pos_connect_bridge.library has no %s", name);
	}
	return found;
}

typedef octets from_bytes_function(borrowed, call_status *);
typedef void free_octets_function(octets, call_status *);

/* Puts the library's own copy of a text into three cells. */
static bool copied(zend_string *text, cell *into)
{
	from_bytes_function *from_bytes;
	call_status status = {0};
	borrowed from;
	octets copy;

	if (ZSTR_LEN(text) > INT32_MAX) {
		zend_throw_exception(spl_ce_RuntimeException, "an argument is longer than 2 GiB", 0);
		return false;
	}
	from_bytes = (from_bytes_function *) function(FROM_BYTES, COMMON);
	if (from_bytes == NULL) {
		return false;
	}
	from.length = (int32_t) ZSTR_LEN(text);
	from.data = (const uint8_t *) ZSTR_VAL(text);
	copy = from_bytes(from, &status);
	into[0].word = copy.capacity;
	into[1].word = copy.length;
	into[2].pointer = copy.data;
	return true;
}

/* Makes a PHP text of three cells, and gives them back. */
static void taken(zval *into, const cell *from)
{
	free_octets_function *give_back = (free_octets_function *) function(FREE, COMMON);
	call_status status = {0};
	octets given = {from[0].word, from[1].word, from[2].pointer};

	if (give_back == NULL) {
		return;
	}
	if (given.length == 0) {
		ZVAL_EMPTY_STRING(into);
	} else {
		ZVAL_STRINGL(into, (const char *) given.data, given.length);
	}
	give_back(given, &status);
}

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_MASK_EX(arguments_of_call, 0, 4, MAY_BE_LONG|MAY_BE_STRING|MAY_BE_NULL)
	ZEND_ARG_TYPE_INFO(0, symbol, IS_STRING, 0)
	ZEND_ARG_TYPE_INFO(0, size, IS_LONG, 0)
	ZEND_ARG_TYPE_INFO(0, arguments, IS_ARRAY, 0)
	ZEND_ARG_TYPE_INFO(1, status, IS_LONG, 0)
ZEND_END_ARG_INFO()

/* int|string|null: by the size of the answer, which is 0, 1 or 3 cells; the status stands behind it. */
PHP_FUNCTION(pos_connect_bridge_call)
{
	char *symbol;
	size_t symbol_length;
	zend_long size;
	HashTable *arguments;
	zval *status, *argument;
	cell in[MOST_WORDS], out[8];
	size_t used = 0;
	void (*call)(cell *, cell *);

	ZEND_PARSE_PARAMETERS_START(4, 4)
		Z_PARAM_STRING(symbol, symbol_length)
		Z_PARAM_LONG(size)
		Z_PARAM_ARRAY_HT(arguments)
		Z_PARAM_ZVAL(status)
	ZEND_PARSE_PARAMETERS_END();

	if (size != 0 && size != 1 && size != 3) {
		zend_argument_value_error(2, "must be 0, 1 or 3");
		RETURN_THROWS();
	}
	call = (void (*)(cell *, cell *)) function(symbol, UNIFORM);
	if (call == NULL) {
		RETURN_THROWS();
	}
	memset(in, 0, sizeof in);
	memset(out, 0, sizeof out);
	ZEND_HASH_FOREACH_VAL(arguments, argument) {
		ZVAL_DEREF(argument);
		if (used + 3 > MOST_WORDS) {
			zend_argument_value_error(3, "must not take more than %d words", MOST_WORDS);
			RETURN_THROWS();
		}
		if (Z_TYPE_P(argument) == IS_LONG) {
			in[used++].word = (uint64_t) Z_LVAL_P(argument);
		} else if (Z_TYPE_P(argument) == IS_STRING) {
			if (!copied(Z_STR_P(argument), &in[used])) {
				RETURN_THROWS();
			}
			used += 3;
		} else {
			zend_argument_type_error(3, "must hold integers and strings only");
			RETURN_THROWS();
		}
	} ZEND_HASH_FOREACH_END();

	call(in, out);

	ZEND_TRY_ASSIGN_REF_LONG(status, out[size].small);
	if (out[size].small != 0) {
		taken(return_value, &out[size + 1]);
	} else if (size == 1) {
		RETVAL_LONG((zend_long) out[0].word);
	} else if (size == 3) {
		taken(return_value, &out[0]);
	}
}

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arguments_of_lend, 0, 2, IS_LONG, 0)
	ZEND_ARG_TYPE_INFO(0, symbol, IS_STRING, 0)
	ZEND_ARG_TYPE_INFO(0, handle, IS_LONG, 0)
ZEND_END_ARG_INFO()

/* Another handle of the same object: that form is exported plainly only. */
PHP_FUNCTION(pos_connect_bridge_lend)
{
	char *symbol;
	size_t symbol_length;
	zend_long handle;
	call_status status = {0};
	uint64_t (*lend)(uint64_t, call_status *);

	ZEND_PARSE_PARAMETERS_START(2, 2)
		Z_PARAM_STRING(symbol, symbol_length)
		Z_PARAM_LONG(handle)
	ZEND_PARSE_PARAMETERS_END();

	lend = (uint64_t (*)(uint64_t, call_status *)) function(symbol, PLAIN);
	if (lend == NULL) {
		RETURN_THROWS();
	}
	RETURN_LONG((zend_long) lend((uint64_t) handle, &status));
}

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arguments_of_free, 0, 2, IS_VOID, 0)
	ZEND_ARG_TYPE_INFO(0, symbol, IS_STRING, 0)
	ZEND_ARG_TYPE_INFO(0, handle, IS_LONG, 0)
ZEND_END_ARG_INFO()

PHP_FUNCTION(pos_connect_bridge_free)
{
	char *symbol;
	size_t symbol_length;
	zend_long handle;
	call_status status = {0};
	void (*give_back)(uint64_t, call_status *);

	ZEND_PARSE_PARAMETERS_START(2, 2)
		Z_PARAM_STRING(symbol, symbol_length)
		Z_PARAM_LONG(handle)
	ZEND_PARSE_PARAMETERS_END();

	give_back = (void (*)(uint64_t, call_status *)) function(symbol, PLAIN);
	if (give_back == NULL) {
		RETURN_THROWS();
	}
	give_back((uint64_t) handle, &status);
}

ZEND_BEGIN_ARG_WITH_RETURN_TYPE_INFO_EX(arguments_of_number, 0, 2, IS_LONG, 0)
	ZEND_ARG_TYPE_INFO(0, symbol, IS_STRING, 0)
	ZEND_ARG_TYPE_INFO(0, bits, IS_LONG, 0)
ZEND_END_ARG_INFO()

/* What the library says of itself: its version (32 bits) and checksums (16 bits). */
PHP_FUNCTION(pos_connect_bridge_number)
{
	char *symbol;
	size_t symbol_length;
	zend_long bits;
	void *asked;

	ZEND_PARSE_PARAMETERS_START(2, 2)
		Z_PARAM_STRING(symbol, symbol_length)
		Z_PARAM_LONG(bits)
	ZEND_PARSE_PARAMETERS_END();

	if (bits != 16 && bits != 32) {
		zend_argument_value_error(2, "must be 16 or 32");
		RETURN_THROWS();
	}
	asked = function(symbol, bits == 16 ? PLAIN : COMMON);
	if (asked == NULL) {
		RETURN_THROWS();
	}
	RETURN_LONG(bits == 16 ? ((uint16_t (*)(void)) asked)() : ((uint32_t (*)(void)) asked)());
}

static const zend_function_entry functions[] = {
	PHP_FE(pos_connect_bridge_call, arguments_of_call)
	PHP_FE(pos_connect_bridge_lend, arguments_of_lend)
	PHP_FE(pos_connect_bridge_free, arguments_of_free)
	PHP_FE(pos_connect_bridge_number, arguments_of_number)
	PHP_FE_END
};

PHP_INI_BEGIN()
	/* Only the administrator says what is loaded into the process. */
	PHP_INI_ENTRY("pos_connect_bridge.library", "", PHP_INI_SYSTEM, NULL)
PHP_INI_END()

PHP_MINIT_FUNCTION(pos_connect_bridge)
{
	REGISTER_INI_ENTRIES();
	return SUCCESS;
}

PHP_MSHUTDOWN_FUNCTION(pos_connect_bridge)
{
	UNREGISTER_INI_ENTRIES();
	return SUCCESS;
}

PHP_MINFO_FUNCTION(pos_connect_bridge)
{
	php_info_print_table_start();
	php_info_print_table_row(2, "pos_connect_bridge", VERSION);
	php_info_print_table_end();
	DISPLAY_INI_ENTRIES();
}

zend_module_entry pos_connect_bridge_module_entry = {
	STANDARD_MODULE_HEADER,
	"pos_connect_bridge",
	functions,
	PHP_MINIT(pos_connect_bridge),
	PHP_MSHUTDOWN(pos_connect_bridge),
	NULL,
	NULL,
	PHP_MINFO(pos_connect_bridge),
	VERSION,
	STANDARD_MODULE_PROPERTIES
};

#ifdef COMPILE_DL_POS_CONNECT_BRIDGE
#ifdef ZTS
ZEND_TSRMLS_CACHE_DEFINE()
#endif
ZEND_GET_MODULE(pos_connect_bridge)
#endif
