//! ZIP archives: laying ours out without writing them, and reading other people's without trusting them.
//!
//! A leaf: no file system call, no async, nothing of cells or boxes. [`layout`] says what each byte of an archive is before
//! any member has been read; [`reader`] opens foreign archives and refuses, by name, what they lie about.

pub mod cursor;
pub mod deflate;
pub mod entry_name;
mod entry_reader;
pub mod error;
mod fields;
mod join;
pub mod layout;
pub mod limits;
pub mod read_at;
pub mod reader;
mod record;
pub mod writer;

pub use cursor::{Cursor, Piece};
pub use entry_reader::EntryReader;
pub use error::ArchiveError;
pub use layout::{Layout, LayoutBuilder, Member, MemberKind, Placed, Source};
pub use limits::Limits;
pub use read_at::ReadAt;
pub use reader::{Archive, Directory, Entry, EntryKind, Headers, Known, Method};
pub use writer::{Packed, Writer};
