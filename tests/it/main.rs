//! The program from outside: every test boots the real binary on a fresh unit and speaks HTTP to it.

#![allow(clippy::disallowed_methods, reason = "tests look at the disk as an administrator would")]
#![allow(clippy::print_stderr, reason = "the log of a failed test")]
#![allow(unreachable_pub, reason = "a test binary has no public interface")]
#![allow(dead_code, reason = "the client and the harness have more than today's tests use")]

mod access;
mod again;
mod bars;
mod cell;
mod cell_command;
mod cell_remote;
mod cell_round;
mod client;
mod clients;
mod command_line;
mod connections;
mod crash;
mod ctl;
mod dav;
mod export;
mod formats;
mod full_disk;
mod harness;
mod lanes;
mod layering;
mod litmus;
mod log;
mod model;
mod modes;
mod protocol;
mod snapshots;
mod taking;
mod tls;
mod transfers;
mod unit;
