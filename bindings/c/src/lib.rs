//! The edge to C: seven functions that take and give JSON texts.
//!
//! `include/pos_connect.h` is made of this file, with its comments. Nothing here knows a verb or a
//! record: they come from `pos_connect_api` by name.
#![expect(unsafe_code, reason = "C hands pointers over")]
#![expect(clippy::result_large_err, reason = "one is made for each answer, and none is kept")]

mod answer;
mod lines;
mod storage;
mod verify;

use std::ffi::{CString, c_char};
use std::sync::Arc;

use pos_connect_api::given::{FromJson, Json, Wrong};
use pos_connect_api::json::{read, told, wrong_argument};
use pos_connect_api::{BlockingConnection, Config, Error, Store, json, seal};

use answer::{answered, text};
use storage::Host;

pub use storage::PosKeyStorage;

/// A connection to the operator's server, by its number; 0 is none.
///
/// It may be used by several threads at once, and in a process that was forked after it was opened.
/// A number is never given twice: one that was closed is refused.
pub type PosConnection = u64;

/// Where keys and open payments are kept.
enum Place {
    InFolder(String),
    InMemory,
}

impl FromJson for Place {
    fn from_json(json: Json) -> Result<Self, Wrong> {
        json.fields(|fields| {
            fields.variant(&[
                ("in_folder", |fields| fields.take("folder").map(Self::InFolder)),
                ("in_memory", |_| Ok(Self::InMemory)),
            ])
        })
    }
}

/// Opens a connection. Nothing is sent yet.
///
/// \param config      The settings, a JSON object such as `{"server_url":"https://pos.example"}`; docs/BINDINGS.md lists them.
/// \param store       Where keys and open payments are kept: `{"type":"in_folder","folder":"/var/lib/shop/pos"}` for
///                    files in a folder that is made if need be, or `{"type":"in_memory"}` for nothing that lasts.
/// \param connection  Where to write the connection's number; 0 where there is an error.
/// \return            `{"ok":null}` or `{"error":{…}}`. Give it to pos_free.
///
/// # Safety
/// Both texts end with a NUL; `connection` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pos_open(
    config: *const c_char,
    store: *const c_char,
    connection: *mut PosConnection,
) -> *mut c_char {
    answered(|| {
        // SAFETY: as the caller has promised.
        let (config, store, place) =
            unsafe { (text("config", config), text("store", store), connection.as_mut()) };
        let place = written_to(place)?;
        let store = match read("store", store?)? {
            Place::InFolder(folder) => Store::in_folder(folder)?,
            Place::InMemory => Store::in_memory(),
        };
        *place = opened(config?, store)?;
        told(&())
    })
}

/// Opens a connection whose keys are kept by the caller. Nothing is sent yet.
///
/// \param config          As for pos_open.
/// \param storage         The caller's functions. How long they and the context must stay good, PosKeyStorage says.
/// \param journal_folder  A folder for the payments under way; made if need be.
/// \param connection      As for pos_open.
/// \return                As for pos_open.
///
/// # Safety
/// As for `pos_open`; the functions keep what `PosKeyStorage` says of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pos_open_with_storage(
    config: *const c_char,
    storage: PosKeyStorage,
    journal_folder: *const c_char,
    connection: *mut PosConnection,
) -> *mut c_char {
    answered(|| {
        // First, so that its owner hears of every end.
        let host = Host::new(storage);
        // SAFETY: as the caller has promised.
        let (config, folder, place) = unsafe {
            (text("config", config), text("journal_folder", journal_folder), connection.as_mut())
        };
        let place = written_to(place)?;
        let store = Store::of_host(Arc::new(host?), folder?.to_owned())?;
        *place = opened(config?, store)?;
        told(&())
    })
}

/// Calls a verb and waits for its answer.
///
/// \param connection  The connection.
/// \param verb        Its name, such as `pay`; docs/BINDINGS.md lists them.
/// \param arguments   Its arguments by their names, a JSON object; those that may be none may be left out.
/// \return            `{"ok":…}` with what the verb gives, or `{"error":{…}}`. Give it to pos_free.
///
/// An error says by its `kind` what to do: `ask_for_status` (money may have moved: call `resume` with
/// `idempotency_key`), `fix_the_request` (`field` may say where), `sign_in_again`, `wait` or `give_up`.
///
/// # Safety
/// Both texts end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pos_call(
    connection: PosConnection,
    verb: *const c_char,
    arguments: *const c_char,
) -> *mut c_char {
    answered(|| {
        // SAFETY: as the caller has promised.
        let (verb, arguments) = unsafe { (text("verb", verb)?, text("arguments", arguments)?) };
        lines::find(connection)?.call_by_name(verb, arguments)
    })
}

/// Closes a connection. Calls under way go on; neither key nor session ends by it.
///
/// \param connection  The connection.
/// \return            `{"ok":null}`, or `{"error":{…}}` for one that is closed already. Give it to pos_free.
#[unsafe(no_mangle)]
pub extern "C" fn pos_close(connection: PosConnection) -> *mut c_char {
    answered(|| told(&lines::close(connection)?))
}

/// Seals what the shopper pays with to the institution. For a shopper's page, a wallet or a test: a
/// shop's server never sees an instrument.
///
/// \param arguments  A JSON object with `instrument`, such as `{"type":"card","number":"…","expiry_year":2039,"expiry_month":12}`,
///                   `binding`, `seal_keys` and `seal_root`.
/// \return           `{"ok":"…"}` with the envelope, a JSON text that an order takes as it is; or `{"error":{…}}`. Give it to pos_free.
///
/// # Safety
/// The text ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pos_seal(arguments: *const c_char) -> *mut c_char {
    answered(|| {
        // SAFETY: as the caller has promised.
        let arguments = unsafe { text("arguments", arguments)? };
        let (instrument, binding, seal_keys, seal_root) = json::arguments(arguments, |given| {
            let (instrument, binding) = (given.take("instrument")?, given.take("binding")?);
            Ok((instrument, binding, given.take("seal_keys")?, given.take("seal_root")?))
        })?;
        told(&seal(instrument, binding, seal_keys, seal_root)?)
    })
}

/// Proves that the server gave an answer. For those who bring their own sender.
///
/// \param arguments  A JSON object with `answer_key`, `call_signature` (64 octets in base64), `status`, `headers` (lists of
///                   values by lower-case name) and `body` (octets in base64).
/// \return           `{"ok":…}` with the server's time in milliseconds since 1970, or `{"error":{…}}`. Give it to pos_free.
///
/// # Safety
/// The text ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pos_verify(arguments: *const c_char) -> *mut c_char {
    answered(|| {
        // SAFETY: as the caller has promised.
        verify::by_json(unsafe { text("arguments", arguments)? })
    })
}

/// Frees a text that one of these functions gave. NULL is left alone.
///
/// \param text  The text; it must not be used any more.
///
/// # Safety
/// It came from one of these functions and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pos_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: `answered` made it by `CString::into_raw`.
        drop(unsafe { CString::from_raw(text) });
    }
}

fn written_to(place: Option<&mut PosConnection>) -> Result<&mut PosConnection, Error> {
    let place = place.ok_or_else(|| wrong_argument("connection", "must not be NULL"))?;
    *place = 0;
    Ok(place)
}

fn opened(config: &str, store: Arc<Store>) -> Result<PosConnection, Error> {
    let config: Config = read("config", config)?;
    lines::keep(BlockingConnection::new(config, store)?)
}
