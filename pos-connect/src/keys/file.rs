//! Keys in a file of the shop's machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Change, KeyStore, KeyStoreError, StoredKeys};
use crate::env::Task;
use crate::files::{self, FileError};

/// Keeps keys in one file (JSON, mode 0600) that is replaced whole at every change, beside a lock
/// file, so that the processes of one shop may share it. A file that others than its owner may read
/// is refused on Unix.
#[derive(Clone, Debug)]
pub struct FileKeyStore(Arc<Paths>);

#[derive(Debug)]
struct Paths {
    keys: PathBuf,
    lock: PathBuf,
}

impl FileKeyStore {
    /// The store in this file, whose folder is made (0700) if need be. Nothing is written before
    /// there are keys.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be made.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let keys = path.into();
        if let Some(folder) = keys.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            files::make_folder(folder)?;
        }
        let mut lock = keys.clone().into_os_string();
        lock.push(".lock");
        Ok(Self(Arc::new(Paths { keys, lock: lock.into() })))
    }

    /// Where the keys are.
    pub fn path(&self) -> &Path {
        &self.0.keys
    }

    fn locked<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Task<'_, Result<T, KeyStoreError>> {
        self.blocking(|paths| {
            let _lock = files::lock(&paths.lock)?;
            work(&paths.keys)
        })
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Paths) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Task<'_, Result<T, KeyStoreError>> {
        let paths = Arc::clone(&self.0);
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || work(&paths)).await {
                Ok(result) => result,
                Err(lost) => Err(KeyStoreError::Host(Box::new(lost))),
            }
        })
    }
}

impl KeyStore for FileKeyStore {
    /// Takes no lock, because the file is put in place whole: the folder may be read-only.
    fn load(&self) -> Task<'_, Result<Option<StoredKeys>, KeyStoreError>> {
        self.blocking(|paths| Ok(read(&paths.keys)?))
    }

    fn create(&self, keys: StoredKeys) -> Task<'_, Result<(), KeyStoreError>> {
        self.locked(move |path| {
            // Not written straight to its name: a crash must not leave half a key behind.
            if read(path)?.is_some() {
                return Err(KeyStoreError::Occupied);
            }
            Ok(files::replace(path, &text(&keys))?)
        })
    }

    fn change(&self, change: Change) -> Task<'_, Result<StoredKeys, KeyStoreError>> {
        self.locked(move |path| {
            let mut keys = read(path)?.ok_or(KeyStoreError::Empty)?;
            keys.apply(change);
            files::replace(path, &text(&keys))?;
            Ok(keys)
        })
    }

    fn remove(&self) -> Task<'_, Result<(), KeyStoreError>> {
        self.locked(|path| Ok(files::remove(path)?))
    }
}

fn read(path: &Path) -> Result<Option<StoredKeys>, FileError> {
    let Some(octets) = files::read(path)?.map(Zeroizing::new) else { return Ok(None) };
    serde_json::from_slice(&octets).map(Some).map_err(|cause| {
        let (line, column) = (cause.line(), cause.column());
        FileError::NoKeys { path: path.to_owned(), line, column }
    })
}

fn text(keys: &StoredKeys) -> Zeroizing<Vec<u8>> {
    // Reserved at once, so that growing leaves no copies of the seed behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(1024));
    serde_json::to_writer_pretty(&mut *octets, keys).expect("keys have a JSON form");
    octets.push(b'\n');
    octets
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pos_protocol::succession::Fingerprint;

    use super::*;
    use crate::keys::Seed;

    fn seed(octet: u8) -> Seed {
        Seed::new(Zeroizing::new([octet; 32]))
    }

    const SHOP: &str = "shp_014d2pf2dbzzzzzzzzzzzzzzzz";

    fn registered() -> Change {
        Change::Registered(SHOP.parse().unwrap())
    }

    fn keys() -> StoredKeys {
        StoredKeys::new(seed(1), Fingerprint::from_octets([7; 16]))
    }

    fn store(folder: &tempfile::TempDir) -> FileKeyStore {
        FileKeyStore::new(folder.path().join("deep/keys.json")).unwrap()
    }

    #[tokio::test]
    async fn keys_come_back_and_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        assert!(store.load().await.unwrap().is_none());
        assert!(matches!(store.change(registered()).await, Err(KeyStoreError::Empty)));
        store.create(keys()).await.unwrap();
        assert!(matches!(store.create(keys()).await, Err(KeyStoreError::Occupied)));
        let changed = store.change(registered()).await.unwrap();
        assert_eq!(changed.shop_id, Some(SHOP.parse().unwrap()));
        let other = FileKeyStore::new(store.path()).unwrap();
        let found = other.load().await.unwrap().unwrap();
        assert_eq!(found.module_key.octets(), &[1; 32]);
        assert_eq!(found.shop_id, Some(SHOP.parse().unwrap()));
        store.remove().await.unwrap();
        assert!(other.load().await.unwrap().is_none());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        store.create(keys()).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(store.path()), 0o600);
        assert_eq!(mode(store.path().parent().unwrap()), 0o700);
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let refused = store.load().await.unwrap_err();
        assert!(
            matches!(refused, KeyStoreError::File(FileError::TooOpen { mode: 0o640, .. })),
            "{refused}"
        );
    }

    /// A crash between writing the next version and putting it in place.
    #[tokio::test]
    async fn half_a_change_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        store.create(keys()).await.unwrap();
        let next = folder.path().join("deep/keys.json.new");
        fs::write(&next, b"{\"module_key\":\"AAAA").unwrap();
        assert_eq!(store.load().await.unwrap().unwrap().module_key.octets(), &[1; 32]);
        let changed = store.change(Change::NextKey(seed(2))).await.unwrap();
        assert_eq!(changed.next_key.unwrap().octets(), &[2; 32]);
        assert!(!next.exists());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_folder_that_nothing_can_be_written_to_is_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("deep");
        store(&folder).create(keys()).await.unwrap();
        // Where permissions do not bind (root) a lock that could not be opened shows the same.
        fs::remove_file(deep.join("keys.json.lock")).unwrap();
        fs::create_dir(deep.join("keys.json.lock")).unwrap();
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o500)).unwrap();
        assert!(store(&folder).load().await.unwrap().is_some());
        assert!(store(&folder).change(registered()).await.is_err());
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[tokio::test]
    async fn a_damaged_file_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        store.create(keys()).await.unwrap();
        fs::write(store.path(), b"{\"module_key\":\"AAAA").unwrap();
        let damaged = store.load().await.unwrap_err();
        assert!(matches!(damaged, KeyStoreError::File(FileError::NoKeys { .. })), "{damaged}");
        assert!(store.create(keys()).await.is_err());
        assert_eq!(fs::read(store.path()).unwrap(), b"{\"module_key\":\"AAAA");
    }

    #[tokio::test]
    async fn what_stands_in_place_of_keys_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        store.create(keys()).await.unwrap();
        // A seed without what belongs around it: the parser's own words would quote it.
        fs::write(store.path(), b"\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"").unwrap();
        let KeyStoreError::File(wrong) = store.load().await.unwrap_err() else {
            panic!("the file is there")
        };
        assert!(wrong.to_string().ends_with("holds no keys: the JSON is wrong at 1:45"), "{wrong}");
        assert!(std::error::Error::source(&wrong).is_none());
    }

    #[tokio::test]
    async fn changes_of_two_processes_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (store(&folder), store(&folder));
        one.create(keys()).await.unwrap();
        let (first, second) =
            tokio::join!(one.change(Change::NextKey(seed(2))), two.change(registered()));
        first.unwrap();
        second.unwrap();
        let found = one.load().await.unwrap().unwrap();
        assert!(found.shop_id.is_some() && found.next_key.is_some());
    }
}
