//! Rectangles of images.
//!
//! Of a raw payload only the bytes that a [`Plan`] says are read. What is planned together, many rectangles of one image,
//! is read together: bytes that several of them want once. Images in files (PNG, JPEG, ...) have no pixels that could be
//! found without decoding them all; of these a region is cut out.
//!
//! A payload's checksum is that of the whole, so what is read of it is not checked; `verify` does that.

use std::ops::Range;
use std::time::Instant;

use parking_lot::Mutex;
use rayon::prelude::*;

use super::Store;
use super::pushed::Pushed;
use crate::backend::ReadRequest;
use crate::descriptor::{Descriptor, Id};
use crate::encoding;
use crate::error::{Error, Result};
use crate::image::{Image, Region};
use crate::layout::Arrangement;
use crate::plan::{Budget, Plan, Planner, Strategy, Timed, Together};

/// Most reads that a core does at a time.
const READS: usize = 64;

impl Store {
    /// A rectangle of one image. Of raw payloads only what the optimal plan asks for is read; its checksum, which is that
    /// of the whole payload, is not checked.
    ///
    /// In memory at once are the region and what is read for it, as far as the backend has not mapped its files; of an
    /// image that is encoded (PNG, JPEG, ...) the whole file and all that is decoded from it.
    ///
    /// # Errors
    /// `InvalidInput` where it is not inside the image; else as [`image`](Self::image).
    pub fn region(&self, id: Id, region: Region) -> Result<Image> {
        let mut images = self.regions(&[(id, region)])?;
        images.pop().ok_or_else(|| self.no_image(id))
    }

    /// A rectangle of one image into `out`: row-major, channels last, native endian.
    ///
    /// # Errors
    /// As [`regions_into`](Self::regions_into).
    pub fn region_into(&self, id: Id, region: Region, out: &mut [u8]) -> Result<()> {
        self.regions_into(&[(id, region)], out)
    }

    /// Many rectangles, in the order asked, read on all cores. Those of one image are planned together, so that what
    /// several of them have is read once.
    ///
    /// # Errors
    /// As [`region`](Self::region).
    pub fn regions(&self, regions: &[(Id, Region)]) -> Result<Vec<Image>> {
        let wanted = self.wanted(regions)?;
        let mut pixels: Vec<Vec<u8>> = wanted.lengths.iter().map(|&length| vec![0; length]).collect();
        self.read_wanted(&wanted, pixels.iter_mut().map(Vec::as_mut_slice))?;
        let images = wanted.regions.iter().zip(pixels).map(|(&(image, region), pixels)| {
            let Descriptor { shape, sample_type, .. } = wanted.images[image];
            Image::from_bytes(region.shape(shape.channels())?, sample_type, pixels)
        });
        images.collect()
    }

    /// Many rectangles, one after another into `out`, as [`regions`](Self::regions) reads them.
    ///
    /// # Errors
    /// `InvalidInput` where `out` has not exactly their bytes; else as [`region`](Self::region).
    pub fn regions_into(&self, regions: &[(Id, Region)], out: &mut [u8]) -> Result<()> {
        let wanted = self.wanted(regions)?;
        let expected = wanted.lengths.iter().try_fold(0_usize, |sum, &length| sum.checked_add(length));
        if expected != Some(out.len()) {
            let expected: u128 = wanted.lengths.iter().map(|&length| length as u128).sum();
            let wrong =
                |what: &str| Error::invalid(format!("a buffer of {} bytes for {what} of {expected}", out.len()));
            return Err(self.here(match regions {
                [(id, _)] => wrong("a region").at_id(*id),
                _ => wrong("regions"),
            }));
        }
        let mut rest = out;
        let out = wanted.lengths.iter().map(|&length| rest.split_off_mut(..length).unwrap_or_default());
        self.read_wanted(&wanted, out)
    }

    /// Looks at what is asked for: the images, which are there, and that the regions are inside of them.
    fn wanted(&self, regions: &[(Id, Region)]) -> Result<Wanted> {
        let mut ids: Vec<Id> = regions.iter().map(|&(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        let images = self.descriptors(&ids)?.into_iter().zip(&ids);
        let images = images.map(|(descriptor, &id)| descriptor.ok_or_else(|| self.no_image(id)));
        let images: Vec<Descriptor> = images.collect::<Result<_>>()?;
        let regions: Vec<(usize, Region)> =
            regions.iter().map(|&(id, region)| (ids.partition_point(|&other| other < id), region)).collect();
        let lengths = regions.iter().map(|&(image, region)| self.region_bytes(&images[image], region));
        Ok(Wanted { lengths: lengths.collect::<Result<_>>()?, images, regions })
    }

    /// Reads all that is wanted by the best plans, and learns from how long it took.
    fn read_wanted<'a>(&self, wanted: &Wanted, out: impl Iterator<Item = &'a mut [u8]>) -> Result<()> {
        let out: Vec<Mutex<&mut [u8]>> = out.map(Mutex::new).collect();
        for reading in self.read_regions(&wanted.images, &wanted.regions, Planner::optimal, &out)? {
            self.learn(reading);
        }
        Ok(())
    }

    /// A rectangle of one image, read as `strategy` says: for experiments. By the costs
    /// [`region`](Self::region) is never slower.
    ///
    /// # Errors
    /// As [`plan`](Self::plan) and [`region`](Self::region).
    pub fn region_by(&self, id: Id, region: Region, strategy: Strategy, budget: Budget) -> Result<Image> {
        let descriptor = self.descriptor(id)?;
        let mut pixels = vec![0; self.region_bytes(&descriptor, region)?];
        let (shape, sample) = (region.shape(descriptor.shape.channels())?, descriptor.sample_type);
        let choose = |planner: &Planner, regions: &[Region]| {
            let reads = planner.plan(regions[0], strategy, budget)?.reads;
            let anywhere = 0..u64::MAX;
            Ok(Together { reads, spans: vec![anywhere] })
        };
        self.read_regions(&[descriptor], &[(0, region)], choose, &[Mutex::new(&mut pixels)])?;
        Image::from_bytes(shape, sample, pixels)
    }

    /// How a region would be read by `strategy`, at the costs that this store reads at. Nothing is read.
    ///
    /// # Errors
    /// `Unsupported` where the image is not raw: of such the whole is read; `InvalidInput` where the region is not inside,
    /// or no plan keeps to the budget.
    pub fn plan(&self, id: Id, region: Region, strategy: Strategy, budget: Budget) -> Result<Plan> {
        let plan = self.planner(&self.descriptor(id)?)?.plan(region, strategy, budget);
        plan.map_err(|error| self.here(error.at_id(id)))
    }

    /// What regions of an image are planned with: where its pixels are, and what reading costs here.
    ///
    /// # Errors
    /// `Unsupported` where the image is not raw: of such the whole is read; `Corrupt` where its payload is not as long as its
    /// pixels.
    pub fn planner(&self, descriptor: &Descriptor) -> Result<Planner> {
        let arrangement = Arrangement::of(descriptor)?.ok_or_else(|| {
            let encoding = descriptor.encoding;
            let error = Error::unsupported(format!("it is {encoding}: all of it is read and decoded"));
            self.here(error.at_id(descriptor.id))
        })?;
        self.check_claim(descriptor)?;
        Ok(Planner { arrangement, cost: self.cost()? })
    }

    /// The bytes of a region of an image, which is checked to be inside, and the image's claim to be sound.
    fn region_bytes(&self, descriptor: &Descriptor, region: Region) -> Result<usize> {
        let at_id = |error: Error| self.here(error.at_id(descriptor.id));
        region.check_inside(descriptor.shape).map_err(at_id)?;
        self.check_claim(descriptor)?;
        let bytes = region.shape(descriptor.shape.channels()).map_err(at_id)?.byte_length(descriptor.sample_type);
        usize::try_from(bytes).map_err(|_| at_id(Error::invalid(format!("{bytes} bytes do not fit in memory"))))
    }

    /// Reads `regions`, each of the image at that place of `images` and inside it, into the buffers at the same places of
    /// `out`, which have their lengths; `choose` says which bytes of a payload are read for the regions of its image. Gives
    /// how long each batch of reads took.
    fn read_regions(
        &self,
        images: &[Descriptor],
        regions: &[(usize, Region)],
        choose: impl Fn(&Planner, &[Region]) -> Result<Together> + Sync,
        out: &[Mutex<&mut [u8]>],
    ) -> Result<Vec<Timed>> {
        let cost = self.cost()?;
        let mut of_image: Vec<Vec<usize>> = vec![Vec::new(); images.len()];
        for (place, &(image, _)) in regions.iter().enumerate() {
            of_image[image].push(place);
        }
        let prepare = |(descriptor, places): (&Descriptor, &Vec<usize>)| {
            let Some(arrangement) = Arrangement::of(descriptor)? else {
                self.cut_out(descriptor.id, places.iter().map(|&place| (regions[place].1, &out[place])))?;
                return Ok(None);
            };
            let wanted: Vec<Region> = places.iter().map(|&place| regions[place].1).collect();
            let Together { reads, spans } = choose(&Planner { arrangement, cost }, &wanted)
                .map_err(|error| self.here(error.at_id(descriptor.id)))?;
            let spans = Spans::new(spans.into_iter().zip(places.iter().copied()));
            Ok(Some(Raw { arrangement, reads, spans }))
        };
        // One region, the most frequent question, is answered where it was asked: to ask other threads takes longer. The
        // Python package counts on it.
        let raw: Vec<Option<Raw>> = match images.len() {
            0 | 1 => images.iter().zip(&of_image).map(prepare).collect::<Result<_>>()?,
            _ => images.par_iter().zip(&of_image).map(prepare).collect::<Result<_>>()?,
        };
        let requests: Vec<ReadRequest> = images
            .iter()
            .zip(&raw)
            .filter_map(|(image, raw)| Some((image.id, raw.as_ref()?)))
            .flat_map(|(id, raw)| raw.reads.iter().map(move |range| ReadRequest::new(id, range.clone())))
            .collect();
        let raw_of = |id: Id| raw[images.binary_search_by_key(&id, |image| image.id).ok()?].as_ref();
        let read = |requests: &[ReadRequest]| {
            self.read_placed(requests, |id, offset, bytes| {
                let Some(Raw { arrangement, spans, .. }) = raw_of(id) else { return };
                for place in spans.touching(&(offset..offset + bytes.len() as u64)) {
                    arrangement.place(regions[place].1, offset, bytes, &mut out[place].lock());
                }
            })
        };
        let readings = match regions.len() {
            0 | 1 => vec![read(&requests)?],
            _ => requests.par_chunks(self.chunk(requests.len(), READS)).map(read).collect::<Result<_>>()?,
        };
        for (&(image, _), out) in regions.iter().zip(out).filter(|((image, _), _)| raw[*image].is_some()) {
            encoding::to_native(images[image].sample_type, &mut out.lock());
        }
        Ok(readings)
    }

    /// Decodes an image, and cuts regions out of it.
    fn cut_out<'a, 'b: 'a>(
        &self,
        id: Id,
        regions: impl Iterator<Item = (Region, &'a Mutex<&'b mut [u8]>)>,
    ) -> Result<()> {
        let whole = self.image(id)?;
        for (region, out) in regions {
            let mut out = out.lock();
            let rows = whole.view().rows_of(region).map_err(|error| self.here(error))?;
            let length = out.len() / region.height() as usize;
            rows.zip(out.chunks_exact_mut(length)).for_each(|(row, out)| out.copy_from_slice(row));
        }
        Ok(())
    }

    /// Reads bytes of payloads, and has each with its image's id and its offset given to `place`. Gives how long it took.
    fn read_placed(&self, requests: &[ReadRequest], mut place: impl FnMut(Id, u64, &[u8])) -> Result<Timed> {
        let mut bytes_read = 0;
        let began = Instant::now();
        let mut pushed = Pushed::new(requests, |request| request.id);
        self.backend
            .read(requests, &mut |number, bytes| {
                let ReadRequest { id, range } = pushed.take(number)?;
                let bytes = bytes.ok_or_else(|| self.no_image(*id))?;
                if bytes.len() as u64 != range.end - range.start {
                    let (found, start, end) = (bytes.len(), range.start, range.end);
                    return Err(
                        Error::corrupt(format!("the bytes {start}..{end} of its payload are only {found}")).at_id(*id)
                    );
                }
                bytes_read += bytes.len() as u64;
                place(*id, range.start, bytes);
                Ok(())
            })
            .and_then(|()| pushed.finish())
            .map_err(|error| self.here(error))?;
        Ok(Timed { reads: requests.len(), bytes: bytes_read, seconds: began.elapsed().as_secs_f64() })
    }
}

/// Regions that were asked for, and are there.
struct Wanted {
    /// The images, ascending by their ids.
    images: Vec<Descriptor>,
    /// The place of each region's image, and the region.
    regions: Vec<(usize, Region)>,
    /// Bytes of each.
    lengths: Vec<usize>,
}

/// A raw image of which regions are read.
struct Raw {
    arrangement: Arrangement,
    /// What is read of its payload.
    reads: Vec<Range<u64>>,
    spans: Spans,
}

/// Which regions may have bytes in a read, found without a look at each: there may be as many reads as regions.
struct Spans {
    /// From a region's first byte to its last, and its place among all; by their starts.
    spans: Vec<(Range<u64>, usize)>,
    /// For each the end of that one of those up to it that ends last.
    reach: Vec<u64>,
}

impl Spans {
    fn new(spans: impl Iterator<Item = (Range<u64>, usize)>) -> Self {
        let mut spans: Vec<_> = spans.collect();
        spans.sort_unstable_by_key(|(span, _)| span.start);
        let mut last = 0;
        let reach = spans.iter().map(|(span, _)| {
            last = span.end.max(last);
            last
        });
        Spans { reach: reach.collect(), spans }
    }

    /// The places of those that overlap `range`.
    fn touching(&self, range: &Range<u64>) -> impl Iterator<Item = usize> {
        let first = self.reach.partition_point(|&reach| reach <= range.start);
        let end = self.spans.partition_point(|(span, _)| span.start < range.end);
        let near = self.spans.get(first..end).unwrap_or_default().iter();
        near.filter(|(span, _)| span.end > range.start).map(|&(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_touch_a_range_are_found_and_no_others() {
        let spans: Vec<Range<u64>> = (0..200).map(|at| at * 7919 % 500..at * 7919 % 500 + 1 + at * at % 90).collect();
        let sorted = Spans::new(spans.iter().cloned().zip(0..));
        for (start, end) in (0..600).flat_map(|start| [1, 7, 200].map(|length| (start, start + length))) {
            let mut found: Vec<usize> = sorted.touching(&(start..end)).collect();
            found.sort_unstable();
            let expected = (0..).zip(&spans).filter(|(_, span)| span.start < end && start < span.end);
            assert_eq!(found, expected.map(|(place, _)| place).collect::<Vec<_>>());
        }
        assert_eq!(Spans::new(std::iter::empty()).touching(&(0..1)).count(), 0);
    }
}
