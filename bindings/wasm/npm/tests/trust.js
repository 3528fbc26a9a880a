// The bed's certificate, for programs that are told of it while they run: Node takes those of
// NODE_EXTRA_CA_CERTS only where it is started, and `fetch` takes none.

import tls from "node:tls";

let believed;
const { createSecureContext } = tls;
tls.createSecureContext = (options) => {
  const made = createSecureContext(options);
  if (believed) made.context.addCACert(believed);
  return made;
};

/** Believes a certificate from now on, in place of the one before: the authorities of two beds have one name. */
export const believe = (pem) => {
  believed = pem;
};
