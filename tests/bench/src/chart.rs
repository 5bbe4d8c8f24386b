//! A picture of the comparison: bars on a logarithmic scale, as SVG that is readable in light and in dark.

use std::fmt::{self, Write as _};

/// Bars of one unit.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What the bars are.
    pub title: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it stands for.
    pub label: String,
    /// Its length; more than zero.
    pub value: f64,
    /// The value with its unit.
    pub text: String,
    /// Whether it is this module's.
    pub ours: bool,
}

const WIDTH: f64 = 840.0;
/// Where bars begin, right of their labels, and where the longest one ends, left of its value.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 740.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 44.0;

const STYLE: &str = "
text { font: 14px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.axis { stroke: #8b949e; stroke-width: 1; stroke-dasharray: 2 4; }
.tick { font-size: 11px; fill: #656d76; text-anchor: middle; }
.label { text-anchor: end; }
.ours { fill: #1a7f37; }
.other { fill: #8c959f; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .tick { fill: #9198a1; }
  .ours { fill: #3fb950; }
  .other { fill: #6e7681; }
}
";

/// Draws the charts one below the other.
pub fn svg(charts: &[&Chart]) -> String {
    let height: f64 = charts.iter().map(|chart| chart.height()).sum();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<style>{STYLE}</style>\n"
    );
    let mut top = 0.0;
    for chart in charts {
        let _ = write!(text, "<g transform=\"translate(0 {top})\">\n{chart}</g>\n");
        top += chart.height();
    }
    text + "</svg>\n"
}

impl Chart {
    fn height(&self) -> f64 {
        HEAD + ROW * self.bars.len() as f64 + ROW
    }

    /// The powers of ten between which all bars end.
    fn decades(&self) -> (i32, i32) {
        let ends = self.bars.iter().map(|bar| bar.value.log10());
        let (low, high) = ends.fold((f64::MAX, f64::MIN), |(low, high), end| (low.min(end), high.max(end)));
        // The shortest bar must not vanish.
        ((low - 0.2).floor() as i32, high.ceil() as i32)
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.decades();
        let place = |power: f64| LEFT + (RIGHT - LEFT) * (power - f64::from(low)) / f64::from(high - low);
        let bottom = HEAD + ROW * self.bars.len() as f64;
        writeln!(f, "<text class=\"title\" x=\"12\" y=\"24\">{}</text>", escaped(&self.title))?;
        for power in low..=high {
            let x = place(power.into());
            writeln!(f, "<path class=\"axis\" d=\"M{x:.1} {HEAD}V{bottom}\"/>")?;
            let value = 10_f64.powi(power);
            writeln!(f, "<text class=\"tick\" x=\"{x:.1}\" y=\"{}\">{value}</text>", bottom + 14.0)?;
        }
        for (at, bar) in self.bars.iter().enumerate() {
            let top = HEAD + ROW * at as f64;
            let (end, text) = (place(bar.value.log10()), top + 17.0);
            let class = if bar.ours { "ours" } else { "other" };
            let (label, value) = (escaped(&bar.label), escaped(&bar.text));
            writeln!(f, "<text class=\"label\" x=\"{}\" y=\"{text}\">{label}</text>", LEFT - 10.0)?;
            let (width, y, height) = (end - LEFT, top + 4.0, ROW - 8.0);
            writeln!(
                f,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" rx=\"2\"/>"
            )?;
            writeln!(f, "<text x=\"{:.1}\" y=\"{text}\">{value}</text>", end + 6.0)?;
        }
        Ok(())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_ends_inside_the_picture() {
        let bar = |value: f64| Bar { label: "a < b".into(), value, text: value.to_string(), ours: false };
        for values in [[1.0, 1.0], [0.3, 500_000.0], [999.0, 1001.0]] {
            let chart = Chart { title: "t".into(), bars: values.map(bar).into() };
            let text = svg(&[&chart]);
            let widths =
                text.split(" width=\"").skip(2).map(|part| part.split('"').next().and_then(|w| w.parse().ok()));
            for width in widths {
                let width: f64 = width.expect("a number");
                assert!(width > 0.0 && LEFT + width <= RIGHT + 0.1, "{text}");
            }
            assert!(text.contains("a &lt; b"));
        }
    }
}
