//! Races.

use std::task::Poll;

/// How often a race is run: so often, or as the variable `ROUNDS` says (`ROUNDS=200 cargo test --test it -- racing` for the long run).
pub(crate) fn rounds(usually: usize) -> usize {
    let asked = std::env::var("ROUNDS").ok();
    asked.map_or(usually, |n| n.parse().expect("ROUNDS is a number"))
}

/// Runs all of them together; what each came to, in their order.
pub(crate) async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut waiting {
            if output.is_none()
                && let Poll::Ready(done) = future.as_mut().poll(cx)
            {
                *output = Some(done);
            }
        }
        if waiting.iter().all(|(_, output)| output.is_some()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let outputs = waiting.into_iter().filter_map(|(_, output)| output);
    outputs.collect()
}
