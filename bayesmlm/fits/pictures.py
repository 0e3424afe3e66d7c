"""All pictures of a fit."""

from __future__ import annotations

from bayesmlm.fits.check_pictures import CheckPictures
from bayesmlm.fits.estimate_pictures import EstimatePictures
from bayesmlm.fits.pooling_pictures import PoolingPictures
from bayesmlm.fits.prediction_pictures import PredictionPictures
from bayesmlm.fits.share_pictures import SharePictures


class Pictures(PoolingPictures, EstimatePictures, SharePictures, PredictionPictures, CheckPictures):
    """A fit that can be looked at."""
