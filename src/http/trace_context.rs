//! W3C Trace Context: which trace a request belongs to. Read strictly; what is malformed is as if it were not there.

use axum::http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Puts the request's span under the caller's, and its trace's id into the log.
pub(super) fn join(span: &Span, headers: &HeaderMap) {
    let mut sent = headers.get_all("traceparent").iter();
    let (Some(value), None) = (sent.next(), sent.next()) else {
        return;
    };
    let Some((trace, parent, flags)) = value.to_str().ok().and_then(parse) else {
        return;
    };
    span.record("trace_id", tracing::field::display(trace));
    let context = SpanContext::new(trace, parent, flags, true, TraceState::NONE);
    // Without an exporter nobody listens.
    let _ = span.set_parent(Context::new().with_remote_span_context(context));
}

/// `version-traceid-parentid-flags` (W3C Trace Context §3.2.2); later versions may go on after the flags.
fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let mut parts = text.splitn(5, '-');
    let mut hex = |digits: usize| {
        let lower = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        parts
            .next()
            .filter(|part| part.len() == digits && part.bytes().all(lower))
    };
    let (version, trace, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let trace = TraceId::from_hex(trace).ok()?;
    let parent = SpanId::from_hex(parent).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    (trace != TraceId::INVALID && parent != SpanId::INVALID).then_some((trace, parent, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_specification_allows() {
        // W3C Trace Context §3.2.4
        let (trace, parent, flags) =
            parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.to_string(), "b7ad6b7169203331");
        assert!(flags.is_sampled());
        assert!(parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later").is_some());
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
