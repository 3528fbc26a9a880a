//! What must hold of the repository itself: who depends on whom, and where its pages lead.

mod arrows;
mod doc_links;
