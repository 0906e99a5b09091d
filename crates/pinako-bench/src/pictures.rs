//! Small pictures made up, with the statistics of natural ones, for when nobody gives any.
//!
//! How large and how slow a store is depends on how well its pictures compress: noise and plain areas would both lie.
//! Natural pictures have as much contrast in every octave of scale (the 1/f spectrum of Field, "Relations between the
//! statistics of natural images", 1987), edges where one thing stands before another, and channels that go together.
//! So each picture here is a background and a few shapes before it, each with a colour of its own and a texture that
//! is a sum of octaves of value noise, mostly gray; how rough it is differs from picture to picture. The constants were
//! chosen so that PNG files of these pictures have the mean and spread of those of CIFAR-10's.
//!
//! Only additions, multiplications, divisions and square roots are used, which IEEE 754 rounds alike everywhere: the
//! same seed gives the same pictures on every machine.

use crate::random::Random;

/// Rows and columns of a picture.
pub const SIDE: usize = 32;
/// Red, green, blue.
pub const CHANNELS: usize = 3;
/// Bytes of a picture.
pub const BYTES: usize = SIDE * SIDE * CHANNELS;

/// The picture `number` of the series `seed`: row-major, channels last.
pub fn picture(seed: u64, number: u64) -> Vec<u8> {
    let mut random = Random::new(seed, number);
    let roughness = random.between(0.55, 1.1);
    let contrast = random.between(25.0, 60.0);
    let mut layers = vec![Layer::new(&mut random, Shape::Everything, roughness, contrast)];
    for _ in 0..1 + random.below(3) {
        let shape = Shape::new(&mut random);
        let roughness = roughness * random.between(0.6, 1.3);
        layers.push(Layer::new(&mut random, shape, roughness, contrast));
    }
    let grain = random.between(1.5, 11.0);

    let mut bytes = Vec::with_capacity(BYTES);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (fx, fy) = (x as f32, y as f32);
            let covers: Vec<f32> = layers.iter().map(|layer| layer.shape.cover(fx, fy)).collect();
            let lowest = covers.iter().rposition(|&cover| cover >= 1.0).unwrap_or(0); // hides what is behind it
            let mut color = [0.0; CHANNELS];
            for (layer, cover) in layers.iter().zip(covers).skip(lowest) {
                if cover > 0.0 {
                    for (color, own) in color.iter_mut().zip(layer.color_at(fx, fy)) {
                        *color += (own - *color) * cover;
                    }
                }
            }
            let gray = random.between(-grain, grain);
            bytes.extend(color.map(|sample| {
                let noise = gray + random.between(-0.5, 0.5) * grain;
                (sample + noise + 0.5).clamp(0.0, 255.0) as u8
            }));
        }
    }
    bytes
}

/// One thing in a picture.
struct Layer {
    shape: Shape,
    color: [f32; CHANNELS],
    light: Texture,
    /// Two axes of hue, far weaker than light and without fine detail, as in natural pictures.
    hues: [Texture; 2],
}

impl Layer {
    fn new(random: &mut Random, shape: Shape, roughness: f32, contrast: f32) -> Self {
        let gray = random.between(15.0, 240.0);
        let color = [(); CHANNELS].map(|()| gray + random.between(-36.0, 36.0));
        let light = Texture::new(random, 5, contrast, roughness);
        let hues = [(); 2].map(|()| Texture::new(random, 3, contrast * 0.25, roughness * 0.7));
        Layer { shape, color, light, hues }
    }

    fn color_at(&self, x: f32, y: f32) -> [f32; CHANNELS] {
        let light = self.light.at(x, y);
        let [warm, green] = [self.hues[0].at(x, y), self.hues[1].at(x, y)];
        [self.color[0] + light + warm, self.color[1] + light + green, self.color[2] + light - warm]
    }
}

/// Which pixels a layer covers.
enum Shape {
    Everything,
    /// All on one side of a line through `at` with the unit normal `normal`.
    Half {
        at: [f32; 2],
        normal: [f32; 2],
    },
    /// The half axes stand along `normal` and across it.
    Ellipse {
        at: [f32; 2],
        normal: [f32; 2],
        axes: [f32; 2],
    },
    Box {
        at: [f32; 2],
        normal: [f32; 2],
        axes: [f32; 2],
    },
}

impl Shape {
    fn new(random: &mut Random) -> Self {
        let side = SIDE as f32;
        let at = [random.between(0.2, 0.8) * side, random.between(0.2, 0.8) * side];
        let normal = direction(random);
        let axes = [random.between(0.12, 0.42) * side, random.between(0.12, 0.42) * side];
        match random.below(4) {
            0 => Shape::Half { at, normal },
            1 => Shape::Box { at, normal, axes },
            _ => Shape::Ellipse { at, normal, axes },
        }
    }

    /// How much of the pixel is covered, from 0 to 1; edges are about one pixel soft.
    fn cover(&self, x: f32, y: f32) -> f32 {
        let turned = |at: &[f32; 2], normal: &[f32; 2]| {
            let (dx, dy) = (x - at[0], y - at[1]);
            [dx * normal[0] + dy * normal[1], dy * normal[0] - dx * normal[1]]
        };
        let inside = match self {
            Shape::Everything => return 1.0,
            Shape::Half { at, normal } => turned(at, normal)[0],
            Shape::Ellipse { at, normal, axes } => {
                let [u, v] = turned(at, normal);
                let (u, v) = (u / axes[0], v / axes[1]);
                (1.0 - (u * u + v * v).sqrt()) * axes[0].min(axes[1])
            }
            Shape::Box { at, normal, axes } => {
                let [u, v] = turned(at, normal);
                (axes[0] - u.abs()).min(axes[1] - v.abs())
            }
        };
        (inside + 0.5).clamp(0.0, 1.0)
    }
}

/// A sum of octaves of value noise.
struct Texture {
    octaves: Vec<Octave>,
}

/// Random values on a lattice, with smooth ways between them.
struct Octave {
    amplitude: f32,
    /// Lattice cells along the picture.
    cells: usize,
    offset: [f32; 2],
    /// `cells` + 2 rows of as many values.
    values: Vec<f32>,
}

impl Texture {
    /// `octaves` of them, the coarsest as wide as the picture; each next one is half as wide and its amplitude
    /// `roughness` times the last one's (1 is the 1/f spectrum).
    fn new(random: &mut Random, octaves: usize, amplitude: f32, roughness: f32) -> Self {
        let mut amplitude = amplitude;
        let octaves = (0..octaves).map(|number| {
            let octave = Octave::new(random, amplitude, 1 << number);
            amplitude *= roughness;
            octave
        });
        Texture { octaves: octaves.collect() }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        self.octaves.iter().map(|octave| octave.at(x, y)).sum()
    }
}

impl Octave {
    fn new(random: &mut Random, amplitude: f32, cells: usize) -> Self {
        let offset = [random.between(0.0, 1.0), random.between(0.0, 1.0)];
        let values = (0..(cells + 2) * (cells + 2)).map(|_| random.between(-1.0, 1.0)).collect();
        Octave { amplitude, cells, offset, values }
    }

    fn at(&self, x: f32, y: f32) -> f32 {
        let scale = self.cells as f32 / SIDE as f32;
        let (x, y) = (x * scale + self.offset[0], y * scale + self.offset[1]);
        let (left, top) = (x as usize, y as usize);
        let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
        let (u, v) = (smooth(x - left as f32), smooth(y - top as f32));
        let upper = top * (self.cells + 2) + left;
        let between = |place: usize| self.values[place] * (1.0 - u) + self.values[place + 1] * u;
        self.amplitude * (between(upper) * (1.0 - v) + between(upper + self.cells + 2) * v)
    }
}

/// A unit vector.
fn direction(random: &mut Random) -> [f32; 2] {
    loop {
        let [x, y] = [random.between(-1.0, 1.0), random.between(-1.0, 1.0)];
        let length = (x * x + y * y).sqrt();
        if (0.1..=1.0).contains(&length) {
            return [x / length, y / length];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinako::{ImageView, NewImage, PixelEncoding, SampleType, Store};

    /// FNV-1a.
    fn hash(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn the_pictures_of_a_seed_are_the_same_for_ever() {
        let all: Vec<u8> = (0..100).flat_map(|number| picture(0, number)).collect();
        assert_eq!(hash(&all), 13_880_387_623_538_365_455);
        assert_ne!(picture(0, 0), picture(1, 0));
        assert_ne!(picture(0, 0), picture(0, 1));
    }

    #[test]
    fn png_files_of_them_are_as_large_as_those_of_photographs_of_that_size() {
        // As this library encodes PNG, the first 2,000 pictures of CIFAR-10 take 2,917 bytes each; 90 % of them from
        // 2,416 to 3,172. Pillow, which tries harder, makes 2,302 of them.
        let store = Store::create("memory:").unwrap();
        let shape = pinako::Shape::new(SIDE as u32, SIDE as u32, CHANNELS as u16).unwrap();
        let mut sizes: Vec<u64> = (0..500)
            .map(|number| {
                let bytes = picture(0, number);
                let view = ImageView::new(shape, SampleType::U8, &bytes).unwrap();
                let id = store.append([NewImage::encoded(view, PixelEncoding::Png)]).unwrap().start;
                store.descriptor(id).unwrap().payload_length
            })
            .collect();
        sizes.sort_unstable();
        let mean = sizes.iter().sum::<u64>() / 500;
        assert!((2_500..3_000).contains(&mean), "{mean}");
        assert!((1_800..2_500).contains(&sizes[25]) && (2_900..3_250).contains(&sizes[475]), "{sizes:?}");
    }

    #[test]
    fn their_contrast_grows_with_distance_as_that_of_photographs_does() {
        // The mean square of the differences between green samples 1, 2, 4 and 8 columns apart, in the first 2,000
        // pictures of CIFAR-10.
        let photographs = [533.0, 1313.0, 2354.0, 3642.0];
        for (distance, expected) in [1, 2, 4, 8].into_iter().zip(photographs) {
            let (mut sum, mut pairs) = (0.0, 0.0);
            for bytes in (0..300).map(|number| picture(0, number)) {
                for row in bytes.chunks_exact(SIDE * CHANNELS) {
                    let green: Vec<f64> = row.chunks_exact(CHANNELS).map(|pixel| f64::from(pixel[1])).collect();
                    sum += green.iter().zip(&green[distance..]).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                    pairs += (SIDE - distance) as f64;
                }
            }
            assert!((0.75..1.25).contains(&(sum / pairs / expected)), "{distance} apart: {}", sum / pairs);
        }
    }
}
