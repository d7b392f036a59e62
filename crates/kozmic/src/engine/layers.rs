//! Layers that images share are on the disk once, and are counted once.

/// An image as a stack of layers, the lowest first.
pub(super) struct Layered {
    pub(super) layers: Vec<String>,
    /// Bytes of all of them.
    pub(super) size: u64,
    /// Bytes of each, where they are known.
    pub(super) layer_sizes: Option<Vec<u64>>,
}

/// The bytes of each image that none of the images before it has. Where that
/// is not known, it is rather too much than too little.
pub(super) fn own_bytes(images: &[Layered]) -> Vec<u64> {
    let own = |(at, image): (usize, &Layered)| {
        let shared = images[..at].iter().map(|earlier| shared_bytes(earlier, image)).max();
        image.size.saturating_sub(shared.unwrap_or(0))
    };
    images.iter().enumerate().map(own).collect()
}

fn shared_bytes(earlier: &Layered, image: &Layered) -> u64 {
    let shared = earlier.layers.iter().zip(&image.layers).take_while(|(a, b)| a == b).count();
    if shared == image.layers.len() {
        image.size
    } else if shared == earlier.layers.len() {
        earlier.size
    } else {
        let known = earlier.layer_sizes.as_ref().or(image.layer_sizes.as_ref());
        known.map_or(0, |sizes| sizes[..shared].iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(layers: &[&str], sizes: &[u64]) -> Layered {
        Layered {
            layers: layers.iter().map(|&layer| layer.to_owned()).collect(),
            size: sizes.iter().sum(),
            layer_sizes: Some(sizes.to_vec()),
        }
    }

    #[test]
    fn a_layer_counts_for_the_first_image_that_has_it() {
        let images = [
            image(&["base"], &[100]),
            image(&["base", "one"], &[100, 7]),
            image(&["base", "two"], &[100, 9]),
            image(&["base", "one", "top"], &[100, 7, 3]),
            image(&["base"], &[100]),
            image(&[], &[]),
            image(&["other"], &[50]),
        ];
        assert_eq!(own_bytes(&images), [100, 7, 9, 3, 0, 0, 50]);
    }

    #[test]
    fn images_that_part_half_way_share_what_is_below() {
        let mut images =
            [image(&["a", "b", "c"], &[10, 20, 30]), image(&["a", "b", "d"], &[10, 20, 5])];
        assert_eq!(own_bytes(&images), [60, 5]);
        for image in &mut images {
            image.layer_sizes = None;
        }
        assert_eq!(own_bytes(&images), [60, 35], "counted twice rather than not at all");
    }
}
