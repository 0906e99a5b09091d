//! Charts: what is to be seen, apart from how it is drawn.
//!
//! One description gives a file that stands alone (SVG or PNG, dark on white, its text in a font that comes along) and
//! a part of a page (SVG whose colours are the page's own CSS variables, so that it follows light and dark). Colours
//! are those of Okabe and Ito ("Color Universal Design", 2008), which people with any kind of colour vision can tell
//! apart, and no series is told by its colour alone.

use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::plot::legend::{LegendEntry, LegendPosition, LegendShape};
use kuva::plot::line::LineStyle;
use kuva::plot::scatter::MarkerShape;
use kuva::plot::{BarPlot, LinePlot, ScatterPlot};
use kuva::prelude::ReferenceLine;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, render_multiple};
use kuva::render::theme::Theme;
use pinako::{Error, ErrorKind, Result};

/// Writes a number of an axis.
pub type Format = fn(f64) -> String;

/// A picture of figures.
#[derive(Debug, Clone)]
pub struct Chart {
    /// The name of its files, without an extension.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// What to look at, in a sentence or two.
    pub caption: String,
    /// What is drawn.
    pub body: Body,
}

/// What a chart draws.
#[derive(Debug, Clone)]
pub enum Body {
    /// Lines through points, a colour for each of `colors` and a dash for the second of `styles`, of which there may be
    /// fewer than two.
    Lines {
        series: Vec<Line>,
        colors: Vec<(String, Color)>,
        styles: Vec<&'static str>,
        log_x: bool,
        log_y: bool,
        x_label: &'static str,
        x: Format,
        y: Format,
    },
    /// Bars: a group of them at each name, side by side or stacked; `level` draws a line across, with its name.
    Bars {
        groups: Vec<(String, Vec<f64>)>,
        colors: Vec<(String, Color)>,
        stacked: bool,
        x_label: &'static str,
        y: Format,
        level: Option<(f64, &'static str)>,
    },
    /// Two points with whiskers to the right in each row, on a logarithmic axis; `kinds` says what the points are.
    Dots { rows: Vec<(String, [Option<Dot>; 2])>, kinds: [&'static str; 2], x: Format },
}

/// A line of a chart.
#[derive(Debug, Clone)]
pub struct Line {
    pub color: Color,
    /// Drawn in the second style, with smaller marks.
    pub dashed: bool,
    pub points: Vec<Point>,
}

/// A figure with the least and the greatest of its samples.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub least: f64,
    pub greatest: f64,
}

/// A figure, and what only few of its samples are beyond.
#[derive(Debug, Clone, Copy)]
pub struct Dot {
    pub x: f64,
    pub tail: f64,
    pub color: Color,
}

/// A colour by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// One of those that stand for something.
    Hue(usize),
    /// A step from pale to strong.
    Step(usize),
}

impl Color {
    /// As the CSS variable of a page.
    pub fn css(self) -> String {
        match self {
            Color::Hue(place) => format!("var(--hue-{})", place % HUES.len()),
            Color::Step(place) => format!("var(--step-{})", place % STEPS.len()),
        }
    }
}

/// As hexadecimal RGB on a light ground; a page has the CSS variables `--hue-0` and so on.
pub(crate) const HUES: [&str; 9] =
    ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a51a3", "#5f5f5f", "#8c6d31"];
const STEPS: [&str; 6] = ["#dbe9f6", "#bad6eb", "#89bedc", "#539ecd", "#2b7bba", "#0b559f"];

const MARKERS: [MarkerShape; 6] = [
    MarkerShape::Circle,
    MarkerShape::Square,
    MarkerShape::Triangle,
    MarkerShape::Diamond,
    MarkerShape::TriangleDown,
    MarkerShape::Star,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ground {
    Paper,
    Page,
}

impl Ground {
    fn color(self, color: Color) -> String {
        match (self, color) {
            (Ground::Paper, Color::Hue(place)) => HUES[place % HUES.len()].to_owned(),
            (Ground::Paper, Color::Step(place)) => STEPS[place % STEPS.len()].to_owned(),
            (Ground::Page, color) => color.css(),
        }
    }

    fn theme(self) -> Theme {
        let (background, ink, faint, line) = match self {
            Ground::Paper => ("white", "#222222", "#e3e3e3", "#555555"),
            Ground::Page => ("none", "var(--ink)", "var(--grid)", "var(--quiet)"),
        };
        Theme {
            background: background.into(),
            axis_color: line.into(),
            grid_color: faint.into(),
            tick_color: line.into(),
            text_color: ink.into(),
            legend_bg: "none".into(),
            legend_border: "none".into(),
            font_family: Some(if self == Ground::Paper { "DejaVu Sans, sans-serif" } else { "inherit" }.into()),
            ..Theme::light()
        }
    }

    /// In CSS pixels; two stand side by side on a page.
    fn size(self) -> (f64, f64) {
        if self == Ground::Paper { (820.0, 460.0) } else { (600.0, 380.0) }
    }

    fn quiet(self) -> String {
        if self == Ground::Paper { "#777777" } else { "var(--quiet)" }.to_owned()
    }

    fn ink(self) -> String {
        if self == Ground::Paper { "#222222" } else { "var(--ink)" }.to_owned()
    }
}

impl Chart {
    /// An SVG file.
    pub fn svg(&self) -> String {
        self.draw_svg(Ground::Paper)
    }

    /// A PNG file, twice as large as the SVG.
    ///
    /// # Errors
    /// `Backend` where it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        PngBackend::new()
            .with_scale(2.0)
            .render_scene(&self.scene(Ground::Paper))
            .map_err(|error| Error::new(ErrorKind::Backend, format!("cannot draw {}: {error}", self.name)))
    }

    /// SVG to stand inside a page that defines the CSS variables `--ink`, `--quiet`, `--grid`, `--hue-0` to `--hue-8`
    /// and `--step-0` to `--step-5`.
    pub fn inline_svg(&self) -> String {
        self.draw_svg(Ground::Page)
    }

    fn draw_svg(&self, ground: Ground) -> String {
        let scene = self.scene(ground);
        // Without a view box it could not be shown at another size.
        let start = format!("<svg role=\"img\" viewBox=\"0 0 {} {}\" ", scene.width, scene.height);
        SvgBackend::new().render_scene(&scene).replacen("<svg ", &start, 1)
    }

    fn scene(&self, ground: Ground) -> Scene {
        let (layout, plots, legend) = match &self.body {
            Body::Lines { series, colors, styles, log_x, log_y, x_label, x, y } => {
                let plots = lines(series, ground);
                let mut layout = Layout::auto_from_plots(&plots).with_x_label(*x_label);
                let places = || series.iter().flat_map(|line| &line.points).map(|point| point.x);
                let (least, most) = (places().fold(f64::MAX, f64::min), places().fold(0.0, f64::max));
                // Room beside the first and the last mark.
                let room = if least < most { (most - least) * 0.04 } else { 0.5 };
                let (left, right) = match log_x {
                    true => (least / 1.5, most * 1.5),
                    false => (least - room, most + room),
                };
                layout = layout.with_x_axis_min(left).with_x_axis_max(right);
                layout = match log_x {
                    true => layout.with_log_x(),
                    false if most - least <= 16.0 => layout.with_x_tick_step(1.0),
                    false => layout,
                };
                layout = if *log_y { layout.with_log_y() } else { layout };
                let layout = layout.with_x_tick_format(tick(*x)).with_y_tick_format(tick(*y));
                let mut legend: Vec<LegendEntry> = Vec::new();
                for (name, color) in colors {
                    legend.push(legend_entry(name, ground.color(*color), LegendShape::Marker(marker(*color)), None));
                }
                for (name, dashes) in styles.iter().zip([None, Some(DASHES)]) {
                    legend.push(legend_entry(name, ground.quiet(), LegendShape::Line, dashes));
                }
                (layout, plots, legend)
            }
            Body::Bars { groups, colors, stacked, x_label, y, level } => {
                let plots = bars(groups, colors, *stacked, ground);
                let mut layout = Layout::auto_from_plots(&plots).with_x_label(*x_label).with_y_tick_format(tick(*y));
                let entry =
                    |(name, color): &(String, Color)| legend_entry(name, ground.color(*color), LegendShape::Rect, None);
                let mut legend: Vec<LegendEntry> = colors.iter().map(entry).collect();
                if *stacked {
                    legend.reverse(); // the order of the stack
                }
                if let Some((at, name)) = level {
                    let line = ReferenceLine::horizontal(*at).with_color(ground.ink()).with_dasharray(DASHES);
                    layout = layout.with_reference_line(line.with_stroke_width(1.5));
                    legend.push(legend_entry(name, ground.ink(), LegendShape::Line, Some(DASHES)));
                }
                (layout, plots, legend)
            }
            Body::Dots { rows, kinds, x } => {
                let plots = dots(rows, ground);
                let names = rows.iter().rev().map(|(name, _)| name.clone()).collect();
                let layout = Layout::auto_from_plots(&plots)
                    .with_log_x()
                    .with_y_categories(names)
                    .with_y_axis_min(0.4)
                    .with_y_axis_max(rows.len() as f64 + 0.6)
                    .with_x_tick_format(log_tick(rows, *x));
                let entry = |(name, shape): (&&str, MarkerShape)| {
                    legend_entry(name, ground.quiet(), LegendShape::Marker(shape), None)
                };
                (layout, plots, kinds.iter().zip(DOTS).map(entry).collect())
            }
        };
        let (width, height) = ground.size();
        let layout = layout
            .with_width(width)
            .with_height(match self.body {
                Body::Dots { .. } => height * 0.75,
                _ => height,
            })
            .with_theme(ground.theme())
            .with_legend_entries(legend)
            .with_legend_box(false)
            .with_legend_position(LegendPosition::OutsideRightTop)
            .with_label_size(14)
            .with_tick_size(13)
            .with_body_size(13);
        let layout = match ground {
            Ground::Paper => {
                layout.with_title(&self.title).with_title_size(18).with_subtitle(&self.caption).with_subtitle_size(12)
            }
            Ground::Page => layout, // which says both in its own words
        };
        render_multiple(plots, layout)
    }
}

const DASHES: &str = "6 5";
const DOTS: [MarkerShape; 2] = [MarkerShape::Circle, MarkerShape::Diamond];

fn legend_entry(name: &str, color: String, shape: LegendShape, dashes: Option<&str>) -> LegendEntry {
    LegendEntry { label: name.to_owned(), color, shape, dasharray: dashes.map(str::to_owned) }
}

fn tick(format: Format) -> TickFormat {
    TickFormat::Custom(std::sync::Arc::new(format))
}

/// Ticks of a logarithmic axis: where it spans more than two decades, only the powers of ten have room for a label.
fn log_tick(rows: &[(String, [Option<Dot>; 2])], format: Format) -> TickFormat {
    let dots = || rows.iter().flat_map(|(_, dots)| dots.iter().flatten());
    let least = dots().map(|dot| dot.x).fold(f64::MAX, f64::min);
    let most = dots().map(|dot| dot.tail).fold(0.0, f64::max);
    if most <= least * 100.0 {
        return tick(format);
    }
    TickFormat::Custom(std::sync::Arc::new(move |place: f64| {
        let decade = place.log10();
        if (decade - decade.round()).abs() < 1e-6 { format(place) } else { String::new() }
    }))
}

fn marker(color: Color) -> MarkerShape {
    let (Color::Hue(place) | Color::Step(place)) = color;
    MARKERS[place % MARKERS.len()]
}

fn lines(series: &[Line], ground: Ground) -> Vec<Plot> {
    let mut plots = Vec::new();
    for line in series {
        let color = ground.color(line.color);
        let places = || line.points.iter().map(|point| (point.x, point.y));
        let style = if line.dashed { LineStyle::Custom(DASHES.into()) } else { LineStyle::Solid };
        let stroke =
            LinePlot::new().with_data(places()).with_color(&color).with_stroke_width(2.0).with_line_style(style);
        let spread = line.points.iter().map(|point| (point.y - point.least, point.greatest - point.y));
        let mut marks = ScatterPlot::new().with_data(places()).with_color(color).with_marker(marker(line.color));
        marks = marks.with_size(if line.dashed { 2.5 } else { 4.0 });
        // Whiskers of no height would be strokes beside the marks.
        if line.points.iter().any(|point| point.least < point.greatest) {
            marks = marks.with_y_err_asymmetric(spread);
        }
        plots.extend([Plot::Line(stroke), Plot::Scatter(marks)]);
    }
    plots
}

fn bars(groups: &[(String, Vec<f64>)], colors: &[(String, Color)], stacked: bool, ground: Ground) -> Vec<Plot> {
    let mut plot = BarPlot::new().with_width(0.78);
    for (name, values) in groups {
        plot =
            plot.with_group(name, values.iter().zip(colors).map(|(&value, (_, color))| (value, ground.color(*color))));
    }
    vec![Plot::Bar(if stacked { plot.with_stacked() } else { plot })]
}

fn dots(rows: &[(String, [Option<Dot>; 2])], ground: Ground) -> Vec<Plot> {
    let mut plots = Vec::new();
    for (row, (_, dots)) in rows.iter().rev().enumerate() {
        for (dot, shape) in dots.iter().zip(DOTS) {
            let Some(dot) = dot else { continue };
            let plot = ScatterPlot::new()
                .with_data([(dot.x, row as f64 + 1.0)])
                .with_x_err_asymmetric([(0.0, (dot.tail - dot.x).max(0.0))])
                .with_color(ground.color(dot.color))
                .with_marker(shape)
                .with_size(6.0);
            plots.push(Plot::Scatter(plot));
        }
    }
    plots
}
