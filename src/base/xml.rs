//! A small, safe XML reader and escaper.
