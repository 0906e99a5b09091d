//! The picture of plans: the image's pixels along the curve that they are stored by, and which of them each way reads.
//!
//! A part of the image around the region is shown, in cells of so many pixels that there are at most 128 on a side. A cell
//! has the colour of the read that has most of it: a read is a stretch of the curve, and stretches that follow each other
//! have different colours, so that they can be counted. What is read and thrown away is pale.

use kuva::backend::png::PngBackend;
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};
use pinako::layout::Arrangement;
use pinako::plan::{Plan, Strategy};
use pinako::{Encoding, Error, ErrorKind, Id, Layout, Region, Result, Store};

use super::{Options, budget};
use crate::chart::HUES;
use crate::figures;

/// Most cells on a side.
const CELLS: u32 = 128;
/// Places looked at on each side of a cell of several pixels.
const SAMPLES: u32 = 2;
/// Images with no longer side are shown as a whole.
const SMALL: u32 = 64;
/// The side of a panel, and what is around it, in CSS pixels.
const PANEL: f64 = 400.0;
const MARGIN: f64 = 24.0;
const HEAD: f64 = 64.0;
const CAPTION: f64 = 52.0;
const FOOT: f64 = 40.0;
/// What the legend takes, on one line.
const LEGEND: f64 = 940.0;
/// Panels side by side.
const COLUMNS: usize = 3;

const INK: &str = "#222222";
const QUIET: &str = "#666666";
const CURVE: &str = "#9a9a9a";
const PAPER: &str = "#f4f4f4";

/// Draws how `region` of an image is read, as a PNG file: a panel for each strategy of `options`, or for the three that
/// explain most: exactly, as the paper does, and at best.
///
/// # Errors
/// `Unsupported` where the image is not raw, and has no pixels that could be read by themselves; else as
/// [`explain`](super::explain).
pub fn picture(store: &Store, id: Id, region: Region, options: &Options) -> Result<Vec<u8>> {
    let descriptor = store.descriptor(id)?;
    let planner = store.planner(&descriptor)?;
    let strategies = match options.strategies.is_empty() {
        true => vec![Strategy::Exact, Strategy::Paper, Strategy::Optimal],
        false => options.strategies.clone(),
    };
    let mut panels = Vec::with_capacity(strategies.len());
    for strategy in strategies {
        let plan = planner.plan(region, strategy, budget(strategy, options));
        let plan = plan.map_err(|error| error.at_id(id).at_store(store.url()))?;
        let seconds = figures::seconds(plan.seconds(&planner.cost));
        panels.push(Panel { title: title(strategy, &plan, planner.cost.block()), text: text(&plan, &seconds), plan });
    }
    let (side, is_row) = match descriptor.encoding {
        Encoding::Raw(Layout::Hilbert(block)) => (block.side(), false),
        _ => (1, true),
    };
    let (width, height) = (descriptor.shape.width(), descriptor.shape.height());
    let view = View::around(region, &panels, side, width, height)?;
    let sheet = Sheet { arrangement: planner.arrangement, is_row, region, view };
    let scene =
        sheet.scene(&format!("Region {region} of image {id}, {width} x {height}, {}", descriptor.encoding), &panels);
    PngBackend::new()
        .with_scale(2.0)
        .render_scene(&scene)
        .map_err(|error| Error::new(ErrorKind::Backend, format!("cannot draw the picture: {error}")))
}

/// One way to read the region.
struct Panel {
    title: String,
    text: String,
    plan: Plan,
}

fn title(strategy: Strategy, plan: &Plan, block: u64) -> String {
    match (strategy, plan.strategy) {
        (Strategy::Paper, found) => format!("paper: {found} at these costs"),
        (_, Strategy::Grow(n)) => format!("grow:{n}: grown to multiples of {}", 1u32 << n),
        (Strategy::Optimal, _) => "optimal: gaps read where that is faster".to_owned(),
        _ if block > 1 => "exact: every run, and blocks in common once".to_owned(),
        _ => "exact: every run by itself".to_owned(),
    }
}

fn text(plan: &Plan, seconds: &str) -> String {
    let reads = figures::counted(plan.reads.len() as u64, "read");
    format!("{reads}, {} thrown away, {seconds} predicted", figures::bytes(plan.extra_bytes() as f64))
}

/// The part of the image that is shown.
#[derive(Clone, Copy)]
struct View {
    /// Whole cells, as far as the image reaches.
    shown: Region,
    /// Pixels on a side of a cell.
    cell: u32,
    /// Pixels on a side of what the curve is drawn through: cells, or blocks where these are larger.
    step: u32,
}

impl View {
    /// The whole image where it is [`SMALL`]; else what is grown to at most, and some
    /// more.
    fn around(region: Region, panels: &[Panel], block: u32, width: u32, height: u32) -> Result<Self> {
        let mut borders = [region.x(), region.y(), region.x() + region.width(), region.y() + region.height()];
        for Panel { plan: Plan { grown, .. }, .. } in panels {
            borders[0] = borders[0].min(grown.x());
            borders[1] = borders[1].min(grown.y());
            borders[2] = borders[2].max(grown.x() + grown.width());
            borders[3] = borders[3].max(grown.y() + grown.height());
        }
        let [left, top, right, bottom] = borders;
        let long = (right - left).max(bottom - top);
        let around = if width.max(height) <= SMALL { SMALL } else { (long / 5).max(2) };
        let cell = (long.saturating_add(around)).div_ceil(CELLS).next_power_of_two();
        let step = cell.max(block);
        // Blocks that are far larger than the region would leave little to be seen of it.
        let grid = if step > long { cell } else { step };
        let low = |border: u32| border.saturating_sub(around) / grid * grid;
        let high = |border: u32, end: u32| {
            (u64::from(border) + u64::from(around)).next_multiple_of(grid.into()).min(end.into()) as u32
        };
        let (left, top) = (low(left), low(top));
        let shown = Region::new(left, top, high(right, width) - left, high(bottom, height) - top)?;
        Ok(View { shown, cell, step })
    }

    /// Squares of `side` pixels that have pixels that are shown, as far as these reach.
    fn squares(&self, side: u32) -> impl Iterator<Item = Region> {
        let shown = self.shown;
        let (right, bottom) = (shown.x() + shown.width(), shown.y() + shown.height());
        let starts = move |first: u32, end: u32| (first / side * side..end).step_by(side as usize);
        starts(shown.y(), bottom).flat_map(move |y| {
            starts(shown.x(), right).filter_map(move |x| {
                let (left, top) = (x.max(shown.x()), y.max(shown.y()));
                let width = x.saturating_add(side).min(right) - left;
                let height = y.saturating_add(side).min(bottom) - top;
                Region::new(left, top, width, height).ok()
            })
        })
    }
}

/// What is drawn, apart from the plans.
struct Sheet {
    arrangement: Arrangement,
    is_row: bool,
    region: Region,
    view: View,
}

impl Sheet {
    fn scene(&self, title: &str, panels: &[Panel]) -> Scene {
        let columns = panels.len().min(COLUMNS);
        let rows = panels.len().div_ceil(COLUMNS);
        let height = self.scale() * f64::from(self.view.shown.height());
        let width = self.scale() * f64::from(self.view.shown.width());
        let sheet_width = (MARGIN + columns as f64 * (PANEL + MARGIN)).max(LEGEND);
        let mut scene = Scene::new(sheet_width, HEAD + rows as f64 * (CAPTION + height + MARGIN) + FOOT);
        scene.font_family = Some("DejaVu Sans, sans-serif".to_owned());
        write(&mut scene, (MARGIN, 30.0), title, 17, true, INK);
        write(&mut scene, (MARGIN, 50.0), &self.scale_text(), 12, false, QUIET);
        for (place, panel) in panels.iter().enumerate() {
            let left = MARGIN + (place % COLUMNS) as f64 * (PANEL + MARGIN) + (PANEL - width) / 2.0;
            let top = HEAD + (place / COLUMNS) as f64 * (CAPTION + height + MARGIN);
            let at = MARGIN + (place % COLUMNS) as f64 * (PANEL + MARGIN);
            write(&mut scene, (at, top + 20.0), &panel.title, 14, true, INK);
            write(&mut scene, (at, top + 39.0), &panel.text, 12, false, QUIET);
            self.draw(&mut scene, (left, top + CAPTION), &panel.plan);
        }
        let foot = scene.height - FOOT;
        legend(&mut scene, foot);
        scene
    }

    /// CSS pixels a pixel.
    fn scale(&self) -> f64 {
        PANEL / f64::from(self.view.shown.width().max(self.view.shown.height()))
    }

    fn scale_text(&self) -> String {
        let View { shown, cell, step } = self.view;
        let through = match step {
            1 => "the line goes through the pixels as they are stored".to_owned(),
            step if self.is_row => format!("each line is one row of {step}"),
            step => format!("the line goes through squares of {step} x {step} pixels as they are stored"),
        };
        match cell {
            1 => format!("Shown are {} x {} pixels; {through}.", shown.width(), shown.height()),
            _ => format!(
                "Shown are {} x {} pixels, {cell} x {cell} in a cell; {through}.",
                shown.width(),
                shown.height()
            ),
        }
    }

    fn draw(&self, scene: &mut Scene, origin: (f64, f64), plan: &Plan) {
        self.fill(scene, origin, self.view.shown, PAPER.into(), None);
        for cell in self.view.squares(self.view.cell) {
            self.cell(scene, origin, cell, plan);
        }
        self.curve(scene, origin);
        let outlines = [(plan.grown, 1.2, Some("4 3")), (self.region, 2.2, None)];
        for (outlined, width, dashes) in outlines {
            if dashes.is_some() && outlined == self.region {
                continue;
            }
            self.outline(scene, origin, outlined, width, dashes);
        }
    }

    /// Fills a cell with the colour of the read that has most of its pixels.
    fn cell(&self, scene: &mut Scene, origin: (f64, f64), cell: Region, plan: &Plan) {
        let columns = cell.width().min(SAMPLES);
        let rows = cell.height().min(SAMPLES);
        let mut reads: Vec<(usize, u32)> = Vec::new();
        let (mut read, mut wanted) = (0, 0);
        for place in 0..columns * rows {
            let x = cell.x() + (2 * (place % columns) + 1) * cell.width() / (2 * columns);
            let y = cell.y() + (2 * (place / columns) + 1) * cell.height() / (2 * rows);
            let Some(of) = self.read_of(x, y, plan) else { continue };
            read += 1;
            wanted += u32::from(self.has(x, y));
            match reads.iter_mut().find(|(other, _)| *other == of) {
                Some((_, count)) => *count += 1,
                None => reads.push((of, 1)),
            }
        }
        let Some(&(of, _)) = reads.iter().max_by_key(|(_, count)| *count) else { return };
        let part = f64::from(read) / f64::from(columns * rows);
        let strength = if wanted * 2 >= read { 0.85 } else { 0.28 };
        self.fill(scene, origin, cell, HUES[of % HUES.len()].into(), Some(strength * part));
    }

    fn has(&self, x: u32, y: u32) -> bool {
        let inside = |at: u32, start: u32, length: u32| at >= start && at - start < length;
        inside(x, self.region.x(), self.region.width()) && inside(y, self.region.y(), self.region.height())
    }

    /// The number of the read that has the pixel.
    fn read_of(&self, x: u32, y: u32, plan: &Plan) -> Option<usize> {
        let pixel = self.arrangement.runs(Region::new(x, y, 1, 1).ok()?).first()?.clone();
        let place = plan.reads.partition_point(|read| read.end <= pixel.start);
        plan.reads.get(place).filter(|read| read.start <= pixel.start).map(|_| place)
    }

    /// Draws the line through the middles of squares, in pieces: where it leaves what is shown, it is broken off.
    fn curve(&self, scene: &mut Scene, origin: (f64, f64)) {
        let mut squares: Vec<(u64, u64, (f64, f64))> = Vec::new();
        for square in self.view.squares(self.view.step) {
            let runs = self.arrangement.runs(square);
            if let Some(first) = runs.first() {
                let x = f64::from(square.x()) + f64::from(square.width()) / 2.0;
                let y = f64::from(square.y()) + f64::from(square.height()) / 2.0;
                squares.push((first.start, first.end, self.place(origin, x, y)));
            }
        }
        squares.sort_unstable_by_key(|&(start, _, _)| start);
        let mut piece: Vec<(f64, f64)> = Vec::new();
        let mut end = None;
        for (start, next, at) in squares {
            if end != Some(start) {
                line(scene, std::mem::take(&mut piece));
            }
            piece.push(at);
            end = Some(next);
        }
        line(scene, piece);
    }

    /// Where a place of the image, in pixels, is on the sheet.
    fn place(&self, origin: (f64, f64), x: f64, y: f64) -> (f64, f64) {
        let scale = self.scale();
        (
            origin.0 + (x - f64::from(self.view.shown.x())) * scale,
            origin.1 + (y - f64::from(self.view.shown.y())) * scale,
        )
    }

    fn fill(&self, scene: &mut Scene, origin: (f64, f64), of: Region, fill: Color, opacity: Option<f64>) {
        let (x, y) = self.place(origin, of.x().into(), of.y().into());
        let (width, height) = (self.scale() * f64::from(of.width()), self.scale() * f64::from(of.height()));
        scene.add(Primitive::Rect { x, y, width, height, fill, stroke: None, stroke_width: None, opacity });
    }

    fn outline(&self, scene: &mut Scene, origin: (f64, f64), of: Region, width: f64, dashes: Option<&str>) {
        let (left, top) = self.place(origin, of.x().into(), of.y().into());
        let right = left + self.scale() * f64::from(of.width());
        let bottom = top + self.scale() * f64::from(of.height());
        // Something is to be seen inside a narrow one, too.
        let width = width.min((right - left).min(bottom - top) / 4.0).max(0.5);
        frame(scene, [left, top, right, bottom], width, dashes);
    }
}

fn legend(scene: &mut Scene, top: f64) {
    let y = top + 4.0;
    let mut x = MARGIN;
    let mut entry = |scene: &mut Scene, text: &str, mark: &dyn Fn(&mut Scene, f64)| {
        mark(scene, x);
        write(scene, (x + 46.0, y + 12.0), text, 12, false, INK);
        x += 46.0 + 7.0 * text.len() as f64 + 18.0;
    };
    let swatches = move |opacity: f64| {
        move |scene: &mut Scene, x: f64| {
            for (place, hue) in HUES[..3].iter().enumerate() {
                scene.add(Primitive::Rect {
                    x: x + 13.0 * place as f64,
                    y,
                    width: 13.0,
                    height: 14.0,
                    fill: (*hue).into(),
                    stroke: None,
                    stroke_width: None,
                    opacity: Some(opacity),
                });
            }
        }
    };
    entry(scene, "a colour for each read", &swatches(0.85));
    entry(scene, "read and thrown away", &swatches(0.28));
    entry(scene, "the region", &|scene, x| frame(scene, [x, y, x + 38.0, y + 14.0], 2.2, None));
    entry(scene, "the grown region", &|scene, x| frame(scene, [x, y, x + 38.0, y + 14.0], 1.2, Some("4 3")));
    entry(scene, "the order of storage", &|scene, x| line(scene, vec![(x, y + 7.0), (x + 38.0, y + 7.0)]));
}

fn frame(scene: &mut Scene, [left, top, right, bottom]: [f64; 4], width: f64, dashes: Option<&str>) {
    for (x1, y1, x2, y2) in
        [(left, top, right, top), (right, top, right, bottom), (right, bottom, left, bottom), (left, bottom, left, top)]
    {
        scene.add(Primitive::Line {
            x1,
            y1,
            x2,
            y2,
            stroke: INK.into(),
            stroke_width: width,
            stroke_dasharray: dashes.map(str::to_owned),
        });
    }
}

fn line(scene: &mut Scene, points: Vec<(f64, f64)>) {
    if points.len() > 1 {
        let stroke = CURVE.into();
        scene.add(Primitive::PolyLine { points, stroke, stroke_width: 0.8, stroke_dasharray: None });
    }
}

fn write(scene: &mut Scene, (x, y): (f64, f64), text: &str, size: u32, bold: bool, color: &str) {
    scene.add(Primitive::Text {
        x,
        y,
        content: text.to_owned(),
        size,
        anchor: TextAnchor::Start,
        rotate: None,
        bold,
        color: Some(color.into()),
    });
}
