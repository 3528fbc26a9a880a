//! The surface as one shared library: what Python, PHP and every language of UniFFI load.

pos_connect_api::uniffi_reexport_scaffolding!();
