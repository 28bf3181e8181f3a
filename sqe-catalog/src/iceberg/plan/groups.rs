//! Deals files out to partitions by bytes.

use std::cmp::Reverse;

use datafusion::datasource::{listing::PartitionedFile, physical_plan::FileGroup};

/// A file and where its row groups start, if that is known.
#[derive(Debug, Clone)]
pub(crate) struct Sized {
    pub(crate) file: PartitionedFile,
    pub(crate) splits: Vec<u64>,
}

/// At most `partitions` groups of about equal size. Below `split_above` bytes in total, files stay whole.
///
/// A row group is read by the range in which it starts, so any ranges that cover a file without overlap read each row
/// exactly once; cutting at row groups only makes sizes true.
pub(crate) fn balance(files: Vec<Sized>, partitions: usize, split_above: u64) -> Vec<FileGroup> {
    let partitions = partitions.max(1);
    let total: u64 = files.iter().map(|sized| sized.file.object_meta.size).sum();
    if partitions == 1 || total < split_above || total == 0 {
        return whole(files, partitions);
    }
    cut(files, partitions, total)
}

/// Largest first, each to the smallest group so far.
fn whole(mut files: Vec<Sized>, partitions: usize) -> Vec<FileGroup> {
    // A stable sort: plans of the same files are the same.
    files.sort_by_key(|sized| Reverse(sized.file.object_meta.size));
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions.min(files.len())];
    for sized in files {
        let size = sized.file.object_meta.size;
        if let Some(smallest) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            // Empty files count too, or they would all land in one group.
            smallest.0 = smallest.0.saturating_add(size.max(1));
            smallest.1.push(sized.file);
        }
    }
    groups.into_iter().map(|(_, files)| FileGroup::new(files)).filter(|group| !group.is_empty()).collect()
}

/// All files one after the other, cut into equal parts.
fn cut(files: Vec<Sized>, partitions: usize, total: u64) -> Vec<FileGroup> {
    let parts = partitions as u64;
    let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new()];
    // The next cut, as a number of parts before it, and where the current file starts among all bytes.
    let (mut next, mut base) = (1, 0_u64);
    for Sized { file, splits } in files {
        let size = file.object_meta.size;
        let mut start = 0;
        loop {
            let wanted = u64::try_from(u128::from(total) * u128::from(next) / u128::from(parts)).unwrap_or(total);
            let end = match wanted.checked_sub(base) {
                Some(wanted) if next < parts && wanted < size => nearest(&splits, wanted, size).max(start),
                _ => size,
            };
            if end > start {
                let piece = if start == 0 && end == size { file.clone() } else { ranged(&file, start, end) };
                if let Some(group) = groups.last_mut() {
                    group.push(piece);
                }
            }
            if next < parts && wanted.saturating_sub(base) < size {
                next += 1;
                groups.push(Vec::new());
                start = end;
            } else {
                break;
            }
        }
        base = base.saturating_add(size);
    }
    groups.into_iter().filter(|group| !group.is_empty()).map(FileGroup::new).collect()
}

/// The start of a row group, or an end of the file, nearest to `wanted`; `wanted` itself if no row group is known.
fn nearest(splits: &[u64], wanted: u64, size: u64) -> u64 {
    if splits.is_empty() {
        return wanted;
    }
    // The first row group starts behind the magic bytes; a range that starts there starts at the file's.
    let inside = splits.iter().copied().skip(1).filter(|split| *split < size);
    inside.chain([0, size]).min_by_key(|cut| cut.abs_diff(wanted)).unwrap_or(wanted)
}

fn ranged(file: &PartitionedFile, start: u64, end: u64) -> PartitionedFile {
    match (i64::try_from(start), i64::try_from(end)) {
        (Ok(start), Ok(end)) => file.clone().with_range(start, end),
        _ => file.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sized(name: &str, size: u64, splits: &[u64]) -> Sized {
        Sized { file: PartitionedFile::new(name, size), splits: splits.to_vec() }
    }

    fn shape(groups: &[FileGroup]) -> Vec<Vec<(String, u64, u64)>> {
        let one = |file: &PartitionedFile| (file.path().to_string(), file.range().0, file.range().1);
        groups.iter().map(|group| group.iter().map(one).collect()).collect()
    }

    #[test]
    fn one_large_file_is_cut_at_row_groups_for_every_partition() {
        let groups = balance(vec![sized("a", 100, &[4, 30, 55, 80])], 3, 10);
        let expected = [("a", 0, 30), ("a", 30, 55), ("a", 55, 100)];
        assert_eq!(shape(&groups), expected.map(|(name, start, end)| vec![(name.to_owned(), start, end)]));
    }

    #[test]
    fn without_known_row_groups_a_file_is_cut_into_equal_bytes() {
        let groups = balance(vec![sized("a", 100, &[])], 4, 10);
        let ranges: Vec<_> = shape(&groups).concat().into_iter().map(|(_, start, end)| (start, end)).collect();
        assert_eq!(ranges, [(0, 25), (25, 50), (50, 75), (75, 100)]);
    }

    #[test]
    fn a_file_of_one_row_group_is_not_cut() {
        assert_eq!(balance(vec![sized("a", 100, &[4])], 4, 10).len(), 1);
    }

    #[test]
    fn small_files_stay_whole_and_are_balanced() {
        let files = [("a", 5), ("b", 1), ("c", 1), ("d", 3)].map(|(name, size)| sized(name, size, &[])).to_vec();
        let groups = balance(files, 2, 1000);
        let bytes: Vec<u64> =
            groups.iter().map(|group| group.iter().map(PartitionedFile::effective_size).sum()).collect();
        assert_eq!(bytes, [5, 5]);
    }

    #[test]
    fn no_files_give_no_groups() {
        assert!(balance(Vec::new(), 4, 0).is_empty());
    }

    proptest! {
        #[test]
        fn every_byte_is_in_exactly_one_group(
            sizes in prop::collection::vec((0u64..500, prop::collection::btree_set(0u64..600, 0..6)), 0..12),
            partitions in 0usize..9,
            split_above in 0u64..600,
        ) {
            let files: Vec<_> = sizes
                .iter()
                .enumerate()
                .map(|(i, (size, splits))| {
                    sized(&format!("f{i}"), *size, &splits.iter().copied().collect::<Vec<_>>())
                })
                .collect();
            let groups = balance(files, partitions, split_above);
            prop_assert!(groups.len() <= partitions.max(1));
            for (i, (size, _)) in sizes.iter().enumerate() {
                let name = format!("f{i}");
                let mut ranges: Vec<_> = shape(&groups)
                    .concat()
                    .into_iter()
                    .filter(|(found, ..)| *found == name)
                    .map(|(_, start, end)| (start, end))
                    .collect();
                ranges.sort_unstable();
                let mut at = 0;
                for (start, end) in ranges {
                    prop_assert_eq!(start, at);
                    prop_assert!(end >= start);
                    at = end;
                }
                prop_assert_eq!(at, *size);
            }
        }
    }
}
