use super::*;
use crate::domain::acl::Privilege;

#[test]
fn every_method_of_a_place_stands_in_the_table_once() {
    for (i, row) in TABLE.iter().enumerate() {
        for method in row.methods {
            let others = TABLE
                .iter()
                .enumerate()
                .filter(|(at, other)| *at != i && other.place == row.place && other.methods.contains(method));
            assert_eq!(others.count(), 0, "{:?} {method}", row.place);
        }
    }
}

#[test]
fn a_method_that_a_place_does_not_have_needs_what_reading_needs() {
    assert_eq!(need(Place::File, "FROBNICATE"), need(Place::File, "GET"));
    assert_eq!(need(Place::File, "DELETE"), Need::Box(&[(Privilege::Unbind, On::Parent)]));
    assert_eq!(need(Place::FreeBox, "GET"), Need::Unit, "nothing is known of it");
}
