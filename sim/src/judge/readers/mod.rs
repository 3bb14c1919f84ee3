//! What judges read drives, media and archives with: written apart from the engine, with which it shares no decoder, tar
//! reader, table reader or rule list. Nothing is judged here.

mod acl_text;
pub mod any_content;
pub mod archive;
pub mod decode;
pub mod disk_rule;
pub mod drive_images;
pub mod extracted;
pub mod links;
pub mod settings;
pub mod written;
