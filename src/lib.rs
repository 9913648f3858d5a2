//! Cellar keeps people's application data in cells and boxes, as a real hierarchy on disk, and moves it in and out as archives.
//!
//! Arrows point down: protocol (`cli`, `server`, `dav`, `api`, `web`) → domain (`domain`, `bar`) → `storage` → leaves
//! (`archive`, `base`). No status code appears below `web`, no file system call above `storage`.

pub mod base;
pub mod cli;
pub mod config;
pub mod server;
pub mod web;
