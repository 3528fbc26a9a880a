/* The connection module of the payment operator, for C and for every language that calls C.
 *
 * Texts are UTF-8 and end with a NUL; what they hold is JSON. Every text that a function gives is
 * to be freed by pos_free. Link with -lpos_connect_c, or with libpos_connect_c.a and -lm.
 *
 * Made by cbindgen of bindings/c/src. */

#ifndef POS_CONNECT_H
#define POS_CONNECT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/**
 * A connection to the operator's server, by its number; 0 is none.
 *
 * It may be used by several threads at once, and in a process that was forked after it was opened.
 * A number is never given twice: one that was closed is refused.
 */
typedef uint64_t PosConnection;

/**
 * A key storage of the caller's own: a secret manager, a database. It keeps one text with secrets in
 * it. Its functions are called on the thread that calls pos_call, by several threads at once where
 * several call, and must not call pos_call themselves; none of them may throw or jump out.
 *
 * Calls that are under way when a connection is closed go on, and use it still. It must stay good
 * until `dropped` is called; where that is NULL, until the connection is closed and every call on it
 * has returned.
 */
typedef struct PosKeyStorage {
  /**
   * Handed to each of the functions.
   */
  void *context;
  /**
   * Writes the kept text to `*text`, or NULL where nothing is kept, and returns 0. Any other
   * number says that it failed; `*text` may then say why.
   */
  int (*load)(void *context, char **text);
  /**
   * Writes `new_text` if what is kept is `old_text` (NULL: nothing is kept), writes 1 or 0 to
   * `*replaced`, and returns 0 once it has reached the lasting store. Any other number says that it
   * failed.
   */
  int (*replace)(void *context, const char *old_text, const char *new_text, int *replaced);
  /**
   * Frees a text that `load` gave.
   */
  void (*release)(void *context, char *text);
  /**
   * Says that none of the others will be called any more: once for each pos_open_with_storage,
   * also for one that failed, on any thread. May be NULL. A child that was forked is not told of
   * what its parent opened.
   */
  void (*dropped)(void *context);
} PosKeyStorage;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Opens a connection. Nothing is sent yet.
 *
 * \param config      The settings, a JSON object such as `{"server_url":"https://pos.example"}`; docs/BINDINGS.md lists them.
 * \param store       Where keys and open payments are kept: `{"type":"in_folder","folder":"/var/lib/shop/pos"}` for
 *                    files in a folder that is made if need be, or `{"type":"in_memory"}` for nothing that lasts.
 * \param connection  Where to write the connection's number; 0 where there is an error.
 * \return            `{"ok":null}` or `{"error":{…}}`. Give it to pos_free.
 *
 * \pre Both texts end with a NUL; `connection` may be written.
 */
char *pos_open(const char *config,
               const char *store,
               PosConnection *connection);

/**
 * Opens a connection whose keys are kept by the caller. Nothing is sent yet.
 *
 * \param config          As for pos_open.
 * \param storage         The caller's functions. How long they and the context must stay good, PosKeyStorage says.
 * \param journal_folder  A folder for the payments under way; made if need be.
 * \param connection      As for pos_open.
 * \return                As for pos_open.
 *
 * \pre As for `pos_open`; the functions keep what `PosKeyStorage` says of them.
 */
char *pos_open_with_storage(const char *config,
                            struct PosKeyStorage storage,
                            const char *journal_folder,
                            PosConnection *connection);

/**
 * Calls a verb and waits for its answer.
 *
 * \param connection  The connection.
 * \param verb        Its name, such as `pay`; docs/BINDINGS.md lists them.
 * \param arguments   Its arguments by their names, a JSON object; those that may be none may be left out.
 * \return            `{"ok":…}` with what the verb gives, or `{"error":{…}}`. Give it to pos_free.
 *
 * An error says by its `kind` what to do: `ask_for_status` (money may have moved: call `resume` with
 * `idempotency_key`), `fix_the_request` (`field` may say where), `sign_in_again`, `wait` or `give_up`.
 *
 * \pre Both texts end with a NUL.
 */
char *pos_call(PosConnection connection,
               const char *verb,
               const char *arguments);

/**
 * Closes a connection. Calls under way go on; neither key nor session ends by it.
 *
 * \param connection  The connection.
 * \return            `{"ok":null}`, or `{"error":{…}}` for one that is closed already. Give it to pos_free.
 */
char *pos_close(PosConnection connection);

/**
 * Seals what the shopper pays with to the institution. For a shopper's page, a wallet or a test: a
 * shop's server never sees an instrument.
 *
 * \param arguments  A JSON object with `instrument`, such as `{"type":"card","number":"…","expiry_year":2039,"expiry_month":12}`,
 *                   `binding`, `seal_keys` and `seal_root`.
 * \return           `{"ok":"…"}` with the envelope, a JSON text that an order takes as it is; or `{"error":{…}}`. Give it to pos_free.
 *
 * \pre The text ends with a NUL.
 */
char *pos_seal(const char *arguments);

/**
 * Proves that the server gave an answer. For those who bring their own sender.
 *
 * \param arguments  A JSON object with `answer_key`, `call_signature` (64 octets in base64), `status`, `headers` (lists of
 *                   values by lower-case name) and `body` (octets in base64).
 * \return           `{"ok":…}` with the server's time in milliseconds since 1970, or `{"error":{…}}`. Give it to pos_free.
 *
 * \pre The text ends with a NUL.
 */
char *pos_verify(const char *arguments);

/**
 * Frees a text that one of these functions gave. NULL is left alone.
 *
 * \param text  The text; it must not be used any more.
 *
 * \pre It came from one of these functions and was not freed before.
 */
void pos_free(char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* POS_CONNECT_H */
