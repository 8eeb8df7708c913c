//! Logs: structured, on standard error, never a secret (types of secrets can't be printed). Traces: exported by OTLP when OpenTelemetry's
//! standard variables say where to.

use std::io::{IsTerminal, stderr};

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{Log, LogFormat, wants_traces};

/// Sends what is left of the traces when it is dropped.
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            // Whoever collects them is away: nothing to be done at the end of a process.
            let _ = provider.shutdown();
        }
    }
}

/// Starts logging, and tracing where it is wanted. Calling it again changes nothing.
pub(crate) fn start(settings: &Log) -> Telemetry {
    // What can't be read stopped the start (config/check.rs).
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_default();
    let json = match settings.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(stderr).with_ansi(false);
    // Fields are escaped by either format, so nothing that a stranger sends can forge a line (checklist 167).
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if json {
        let lines = lines.json().flatten_event(true).with_current_span(false);
        lines.with_filter(filter).boxed()
    } else {
        lines.with_filter(filter).boxed()
    };
    let (provider, failure) = match wants_traces().then(exporter).transpose() {
        Ok(provider) => (provider, None),
        Err(cause) => (None, Some(cause)),
    };
    let traces = provider.as_ref().map(|provider| {
        let ours = Targets::new().with_target("doorward", LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("doorward"))
            .with_filter(ours)
    });
    let _ = Registry::default().with(lines).with(traces).try_init();
    if let Some(cause) = failure {
        tracing::warn!(%cause, "traces can't be exported; going on without");
    }
    Telemetry(provider)
}

fn exporter() -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder().with_service_name("doorward").build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}
