//! Readers of drives, media and archives for judges. They are written separately from the engine, and share no
//! decoder, tar reader, table reader or rule list with it. Nothing is judged here.

mod acl_text;
pub mod any_content;
pub mod archive;
pub(in crate::judge) mod block_map;
pub mod decode;
pub mod disk_rule;
pub mod drive_images;
pub mod extracted;
pub mod links;
pub mod settings;
pub mod written;
