//! Who gets an alert: the sinks of its monitor, but for those that are for other alerts.

use crate::board::Plan;
use crate::board::sink::SinkId;
use crate::model::alert::Kind;
use crate::settings::Settings;
use crate::sink::settings::Route;

/// The sinks of a monitor that take alerts of this kind.
pub(crate) fn sinks_for(plan: &Plan, settings: &Settings, monitor: usize, kind: Kind) -> Vec<SinkId> {
    takers(&routes_of(plan, settings, monitor), kind)
}

/// The sinks of these that take alerts of this kind.
pub(crate) fn takers(routes: &[(SinkId, Route)], kind: Kind) -> Vec<SinkId> {
    routes.iter().filter(|(_, route)| route.takes(kind)).map(|(sink, _)| *sink).collect()
}

/// The sinks of a monitor: its own, or those of the http level, which are the ones that no monitor has for itself. With
/// each goes which alerts it is for.
pub(crate) fn routes_of(plan: &Plan, settings: &Settings, monitor: usize) -> Vec<(SinkId, Route)> {
    let own = |sink: &usize| settings.monitors.iter().flat_map(|monitor| &monitor.sinks).flatten().any(|at| at == sink);
    let sinks = match &settings.monitors[monitor].sinks {
        Some(sinks) => sinks.clone(),
        None => (0..settings.sinks.len()).filter(|sink| !own(sink)).collect(),
    };
    let routes = sinks.iter().filter_map(|sink| {
        Some((*plan.sinks().get(*sink)?, settings.sinks.get(*sink).map(|sink| sink.route.clone()).unwrap_or_default()))
    });
    routes.chain(plan.poll().map(|sink| (sink, Route::default()))).collect()
}
