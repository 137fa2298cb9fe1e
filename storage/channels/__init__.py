"""Named channels of images: `named` has their values and how they are shown, `rows` what a project notes of them."""
