import { init, Connection, KeyStorageError, Store, isPosError, verify } from "./common.js";
import { inBrowser } from "./indexeddb.js";

Store.inBrowser = inBrowser;
await init();

export { Connection, KeyStorageError, Store, isPosError, verify };
