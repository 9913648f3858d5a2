//! `cellar-mountd`: mounts a unit as a file system.

fn main() {}
