"""Videos or folders of images, one a camera, to images of the same moments from all cameras, all of one size."""
