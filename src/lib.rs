//! Cellar keeps people's application data in cells and boxes, as a real hierarchy on disk, and moves it in and out as archives.
//!
//! Arrows point down: protocol (`cli`, `server`, `dav`, `api`, `web`) → domain (`domain`, `bar`, `snapshot`) → `storage` → leaves
//! (`archive`, `base`). No status code appears below `web`, no file system call above `storage`.

pub mod api;
pub mod archive;
pub mod bar;
pub mod base;
pub mod cli;
pub mod config;
pub mod dav;
pub mod domain;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod server;
pub mod snapshot;
pub mod storage;
pub mod web;
