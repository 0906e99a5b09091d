//! Rectangles of images.
//!
//! Of a raw payload only the bytes that a [`Plan`] says are read. What is planned together, many rectangles of one image,
//! is read together: bytes that several of them want once. Images in files (PNG, JPEG, ...) have no pixels that could be
//! found without decoding them all; of these a region is cut out.
//!
//! A payload's checksum is that of the whole, so what is read of it is not checked; `verify` does that.

use std::ops::Range;
use std::time::Instant;

use super::Store;
use super::pushed::Pushed;
use crate::backend::ReadRequest;
use crate::descriptor::{Descriptor, Id};
use crate::encoding;
use crate::error::{Error, Result};
use crate::image::{Image, Region};
use crate::layout::Arrangement;
use crate::plan::{Budget, Plan, Planner, Strategy, Timed, Together};

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
    /// `InvalidInput` where `out` has not exactly its bytes; else as [`region`](Self::region).
    pub fn region_into(&self, id: Id, region: Region, out: &mut [u8]) -> Result<()> {
        let descriptor = self.descriptor(id)?;
        let expected = self.region_bytes(&descriptor, region)?;
        if out.len() != expected {
            return Err(self.here(
                Error::invalid(format!("a buffer of {} bytes for a region of {expected}", out.len())).at_id(id),
            ));
        }
        let reading = self.read_regions(&[descriptor], &[(0, region)], Planner::optimal, &mut [out])?;
        self.learn(reading);
        Ok(())
    }

    /// Many rectangles, in the order asked. Those of one image are planned together, so that what several of them have is
    /// read once.
    ///
    /// # Errors
    /// As [`region`](Self::region).
    pub fn regions(&self, regions: &[(Id, Region)]) -> Result<Vec<Image>> {
        let mut ids: Vec<Id> = regions.iter().map(|&(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        let descriptors = self.descriptors(&ids)?.into_iter().zip(&ids);
        let descriptors = descriptors.map(|(descriptor, &id)| descriptor.ok_or_else(|| self.no_image(id)));
        let descriptors: Vec<Descriptor> = descriptors.collect::<Result<_>>()?;
        let wanted: Vec<(usize, Region)> =
            regions.iter().map(|&(id, region)| (ids.partition_point(|&other| other < id), region)).collect();
        let mut pixels = Vec::with_capacity(wanted.len());
        for &(image, region) in &wanted {
            pixels.push(vec![0; self.region_bytes(&descriptors[image], region)?]);
        }
        let mut out: Vec<&mut [u8]> = pixels.iter_mut().map(Vec::as_mut_slice).collect();
        let reading = self.read_regions(&descriptors, &wanted, Planner::optimal, &mut out)?;
        self.learn(reading);
        let images = wanted.iter().zip(pixels).map(|(&(image, region), pixels)| {
            let Descriptor { shape, sample_type, .. } = descriptors[image];
            Image::from_bytes(region.shape(shape.channels())?, sample_type, pixels)
        });
        images.collect()
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
        self.read_regions(&[descriptor], &[(0, region)], choose, &mut [&mut pixels])?;
        Image::from_bytes(shape, sample, pixels)
    }

    /// How a region would be read by `strategy`, at the costs that this store reads at. Nothing is read.
    ///
    /// # Errors
    /// `Unsupported` where the image is not raw: of such the whole is read; `InvalidInput` where the region is not inside,
    /// or no plan keeps to the budget.
    pub fn plan(&self, id: Id, region: Region, strategy: Strategy, budget: Budget) -> Result<Plan> {
        let descriptor = self.descriptor(id)?;
        self.region_bytes(&descriptor, region)?;
        let plan = self.planner(&descriptor)?.plan(region, strategy, budget);
        plan.map_err(|error| self.here(error.at_id(id)))
    }

    /// What regions of an image are planned with: where its pixels are, and what reading costs here.
    ///
    /// # Errors
    /// `Unsupported` where the image is not raw: of such the whole is read.
    pub fn planner(&self, descriptor: &Descriptor) -> Result<Planner> {
        let arrangement = Arrangement::of(descriptor)?.ok_or_else(|| {
            let encoding = descriptor.encoding;
            let error = Error::unsupported(format!("it is {encoding}: all of it is read and decoded"));
            self.here(error.at_id(descriptor.id))
        })?;
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
    /// how long the reads took.
    fn read_regions(
        &self,
        images: &[Descriptor],
        regions: &[(usize, Region)],
        choose: impl Fn(&Planner, &[Region]) -> Result<Together>,
        out: &mut [&mut [u8]],
    ) -> Result<Timed> {
        let cost = self.cost()?;
        let mut requests = Vec::new();
        let mut of_image: Vec<Vec<usize>> = vec![Vec::new(); images.len()];
        for (place, &(image, _)) in regions.iter().enumerate() {
            of_image[image].push(place);
        }
        let mut raw: Vec<Option<Raw>> = Vec::with_capacity(images.len());
        for (descriptor, places) in images.iter().zip(&of_image) {
            let Some(arrangement) = Arrangement::of(descriptor)? else {
                let whole = self.image(descriptor.id)?;
                for &place in places {
                    let rows = whole.view().rows_of(regions[place].1).map_err(|error| self.here(error))?;
                    let length = out[place].len() / regions[place].1.height() as usize;
                    rows.zip(out[place].chunks_exact_mut(length)).for_each(|(row, out)| out.copy_from_slice(row));
                }
                raw.push(None);
                continue;
            };
            let wanted: Vec<Region> = places.iter().map(|&place| regions[place].1).collect();
            let Together { reads, spans } = choose(&Planner { arrangement, cost }, &wanted)
                .map_err(|error| self.here(error.at_id(descriptor.id)))?;
            raw.push(Some(Raw { arrangement, spans: Spans::new(spans.into_iter().zip(places.iter().copied())) }));
            requests.extend(reads.into_iter().map(|range| ReadRequest::new(descriptor.id, range)));
        }
        let mut bytes_read = 0;
        let began = Instant::now();
        let mut pushed = Pushed::new(&requests, |request| request.id);
        let of_id = |id: Id| images.binary_search_by_key(&id, |image| image.id).ok();
        self.backend
            .read(&requests, &mut |place, bytes| {
                let ReadRequest { id, range } = pushed.take(place)?;
                let bytes = bytes.ok_or_else(|| self.no_image(*id))?;
                if bytes.len() as u64 != range.end - range.start {
                    let (found, start, end) = (bytes.len(), range.start, range.end);
                    return Err(
                        Error::corrupt(format!("the bytes {start}..{end} of its payload are only {found}")).at_id(*id)
                    );
                }
                bytes_read += bytes.len() as u64;
                if let Some(Raw { arrangement, spans }) = of_id(*id).and_then(|image| raw[image].as_ref()) {
                    for place in spans.touching(range) {
                        arrangement.place(regions[place].1, range.start, bytes, out[place]);
                    }
                }
                Ok(())
            })
            .and_then(|()| pushed.finish())
            .map_err(|error| self.here(error))?;
        let reading = Timed { reads: requests.len(), bytes: bytes_read, seconds: began.elapsed().as_secs_f64() };
        for (place, &(image, _)) in regions.iter().enumerate() {
            if raw[image].is_some() {
                encoding::to_native(images[image].sample_type, out[place]);
            }
        }
        Ok(reading)
    }
}

/// A raw image of which regions are read.
struct Raw {
    arrangement: Arrangement,
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
