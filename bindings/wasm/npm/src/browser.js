import { init, Connection, Store, isPosError, verify } from "./common.js";
import { inBrowser } from "./indexeddb.js";

Store.inBrowser = inBrowser;
await init();

export { Connection, Store, isPosError, verify };
