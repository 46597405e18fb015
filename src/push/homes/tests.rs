//! Blobs on their way to one or more repositories.

use super::*;
use crate::push::report::{FailureKind, Side};

fn waiter(delivery: usize) -> Waiter {
    Waiter {
        delivery,
        node: Some(0),
    }
}

fn transfer(blob: BlobId, repository: RepositoryId, from: Option<RepositoryId>) -> Transfer {
    Transfer {
        blob,
        repository,
        from,
    }
}

fn bytes(size: u64) -> Freight {
    Freight {
        size,
        is_sequential: false,
    }
}

fn uploaded(mount_refused: bool) -> Delivery {
    Delivery {
        arrival: Arrival::Uploaded,
        from: None,
        resumed_at: None,
        mount_refused,
    }
}

fn error() -> ErrorReport {
    let message = "gone".to_string();
    ErrorReport {
        kind: FailureKind::Refused,
        side: Side::Registry,
        message,
        hint: None,
        common: None,
    }
}

#[test]
fn biggest_first_then_in_order() {
    let mut homes = Homes::default();
    for (blob, size) in [(0, 5), (1, 9), (2, 5)] {
        assert!(matches!(
            homes.need(blob, 0, bytes(size), waiter(0)),
            Need::Pending
        ));
    }
    let order: Vec<BlobId> = std::iter::from_fn(|| homes.next(|_| true))
        .map(|next| next.blob)
        .collect();
    assert_eq!(order, [1, 0, 2]);
}

#[test]
fn a_second_repository_waits_and_mounts() {
    let mut homes = Homes::default();
    homes.need(0, 0, bytes(5), waiter(0));
    homes.need(0, 1, bytes(5), waiter(1));
    assert_eq!(homes.next(|_| true), Some(transfer(0, 0, None)));
    assert_eq!(homes.next(|_| true), None);
    assert_eq!(homes.arrived(0, 0, uploaded(false)), [waiter(0)]);
    assert_eq!(homes.next(|_| true), Some(transfer(0, 1, Some(0))));
}

#[test]
fn the_next_one_sends_what_failed_elsewhere() {
    let mut homes = Homes::default();
    homes.need(0, 0, bytes(5), waiter(0));
    homes.need(0, 1, bytes(5), waiter(1));
    homes.next(|_| true);
    assert_eq!(homes.failed(0, 0, error()), [waiter(0)]);
    assert_eq!(homes.next(|_| true), Some(transfer(0, 1, None)));
    assert!(matches!(
        homes.need(0, 0, bytes(5), waiter(2)),
        Need::Failed(_)
    ));
}

#[test]
fn nobody_waits_where_mounts_are_refused() {
    let mut homes = Homes::default();
    for blob in 0..2 {
        homes.need(blob, 0, bytes(5), waiter(0));
        homes.need(blob, 1, bytes(5), waiter(1));
    }
    homes.next(|_| true);
    homes.next(|_| true);
    homes.arrived(0, 0, uploaded(true));
    let rest: Vec<Transfer> = std::iter::from_fn(|| homes.next(|_| true)).collect();
    assert_eq!(rest, [transfer(0, 1, None), transfer(1, 1, None)]);
}

#[test]
fn what_nobody_wants_any_more_is_not_sent() {
    let mut homes = Homes::default();
    homes.need(0, 0, bytes(5), waiter(0));
    homes.need(0, 1, bytes(5), waiter(1));
    assert_eq!(
        homes.next(|who| who.delivery == 1),
        Some(transfer(0, 1, None))
    );
}

#[test]
fn what_a_known_manifest_names_is_there() {
    let mut homes = Homes::default();
    homes.known(0, 0, bytes(5), 0);
    assert!(matches!(
        homes.need(0, 0, bytes(5), waiter(1)),
        Need::Satisfied
    ));
    homes.need(0, 1, bytes(5), waiter(1));
    assert_eq!(homes.next(|_| true), Some(transfer(0, 1, Some(0))));
}

#[test]
fn what_is_read_in_order_waits_its_turn_but_mounts_do_not() {
    let mut homes = Homes::default();
    let freight = Freight {
        size: 5,
        is_sequential: true,
    };
    homes.need(0, 0, freight, waiter(0));
    homes.need(0, 1, freight, waiter(1));
    assert_eq!(homes.next(|_| true), None);
    assert_eq!(homes.take_sequential(), [(0, 0)]);
    let started = homes.start(0, 0, |_| true);
    assert_eq!(started, Some(transfer(0, 0, None)));
    homes.arrived(0, 0, uploaded(false));
    assert_eq!(homes.take_sequential(), []);
    assert_eq!(homes.next(|_| true), Some(transfer(0, 1, Some(0))));
}
