"""Entries of the small data sets from designed experiments and field studies that lme4's users know."""

from __future__ import annotations

from bayesmlm.datasets.entry import NUMBERED, TEXT, Dataset, Factor

_NO_LICENCE = (
    "No licence is stated by the source. The values are facts published in the work cited; "
    "no text or code was taken from the R package."
)
_FROM_LME4 = "Values exported from the R package lme4 (itself GPL-2 or later), where it is called {}."
_DAVIES = (
    "Davies, O. L. and Goldsmith, P. L., eds (1972), Statistical Methods in Research and Production, "
    "4th edition, Oliver & Boyd, Edinburgh, section {}."
)

CLASSICS = (
    Dataset(
        name="cake",
        title="Breakage angle of chocolate cakes, a split-plot experiment",
        rows=270,
        columns={
            "replicate": "batch of mixture within a recipe, 1 to 15, categorical; the number alone does not "
            "name a batch: recipe:replicate does",
            "recipe": "recipe A, B or C, categorical; varies between batches",
            "temperature": "baking temperature, ordered categorical, 175 < 185 < ... < 225; varies within a "
            "batch",
            "angle": "angle at which the cake broke, degrees",
            "temp": "baking temperature as a number, in the unit of `temperature`",
        },
        source="Cook, F. E. (1938), Chocolate cake, I. Optimum baking temperature, Master's thesis, Iowa "
        "State College; printed in Cochran, W. G. and Cox, G. M. (1957), Experimental Designs, 2nd edition, "
        "Wiley, New York, p. 300.",
        origin=_FROM_LME4.format("cake"),
        licence=_NO_LICENCE,
        formula="angle ~ recipe * temp + (1 | recipe:replicate)",
        categories={"replicate": NUMBERED, "recipe": TEXT, "temperature": Factor(key=int, ordered=True)},
        notes="Balanced: each of the 45 batches gives six cakes, one at each temperature. lme4 labels the "
        "temperatures as degrees Fahrenheit; we have not checked that against the thesis.",
    ),
    Dataset(
        name="cbpp",
        title="Contagious bovine pleuropneumonia in 15 Ethiopian herds",
        rows=56,
        columns={
            "herd": "herd, 1 to 15, categorical",
            "incidence": "number of new serological cases in the herd during the period",
            "size": "number of animals in the herd at the beginning of the period",
            "period": "quarterly period 1 to 4, categorical",
        },
        source="Lesnoff, M., Laval, G., Bonnet, P. et al. (2004), Within-herd spread of contagious bovine "
        "pleuropneumonia in Ethiopian highlands, Preventive Veterinary Medicine 64, 27-40.",
        origin=_FROM_LME4.format("cbpp"),
        licence=_NO_LICENCE,
        formula="cbind(incidence, size - incidence) ~ period + (1 | herd)",
        family="binomial",
        categories={"herd": NUMBERED, "period": NUMBERED},
        notes="Not every herd was followed to the end: herd 2 has three periods, herd 8 only one.",
    ),
    Dataset(
        name="dyestuff",
        title="Yield of dyestuff by batch of an intermediate product",
        rows=30,
        columns={
            "Batch": "batch of the intermediate product (H-acid), A to F, categorical",
            "Yield": "yield of dyestuff from one preparation, grams of standard colour",
        },
        source=_DAVIES.format("6.4"),
        origin=_FROM_LME4.format("Dyestuff"),
        licence=_NO_LICENCE,
        formula="Yield ~ 1 + (1 | Batch)",
        categories={"Batch": TEXT},
        notes="Balanced: five preparations from each of six batches.",
    ),
    Dataset(
        name="dyestuff2",
        title="Constructed yields whose batches vary less than chance alone would make them",
        rows=30,
        columns={
            "Batch": "batch, A to F, categorical",
            "Yield": "constructed response, no unit",
        },
        source="Box, G. E. P. and Tiao, G. C. (1973), Bayesian Inference in Statistical Analysis, "
        "Addison-Wesley, Reading MA, section 5.1.2.",
        origin=_FROM_LME4.format("Dyestuff2"),
        licence=_NO_LICENCE,
        formula="Yield ~ 1 + (1 | Batch)",
        categories={"Batch": TEXT},
        notes="Made up by Box and Tiao in the layout of `dyestuff`: the mean square between batches is "
        "below the one within, so that the maximum-likelihood and REML estimates of the batch variance are "
        "zero.",
    ),
    Dataset(
        name="grouseticks",
        title="Ticks on the heads of red grouse chicks",
        rows=403,
        columns={
            "INDEX": "chick, one level per row, categorical; as a group it takes up overdispersion",
            "TICKS": "number of ticks counted on the chick's head",
            "BROOD": "brood, 118 levels, categorical; nested in LOCATION",
            "HEIGHT": "height above sea level, metres",
            "YEAR": "year, 95, 96 or 97 (1995 to 1997), categorical",
            "LOCATION": "geographical location code, 63 levels, categorical",
            "cHEIGHT": "HEIGHT minus its mean over the 403 chicks, metres",
        },
        source="Elston, D. A., Moss, R., Boulinier, T., Arrowsmith, C. and Lambin, X. (2001), Analysis of "
        "aggregation, a worked example: numbers of ticks on red grouse chicks, Parasitology 122, 563-569.",
        origin=_FROM_LME4.format("grouseticks"),
        licence=_NO_LICENCE,
        formula="TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        family="poisson",
        categories={"INDEX": NUMBERED, "BROOD": NUMBERED, "YEAR": NUMBERED, "LOCATION": NUMBERED},
        notes="YEAR, HEIGHT and LOCATION are constant within a brood.",
    ),
    Dataset(
        name="pastes",
        title="Strength of a chemical paste by delivery batch and cask",
        rows=60,
        columns={
            "strength": "strength of the paste, unit as in the source",
            "batch": "delivery batch, A to J, categorical",
            "cask": "cask within the batch, a to c, categorical; the letter is used again in every batch",
            "sample": "cask with its own name, A:a to J:c, categorical",
        },
        source=_DAVIES.format("6.5"),
        origin=_FROM_LME4.format("Pastes"),
        licence=_NO_LICENCE,
        formula="strength ~ 1 + (1 | batch/cask)",
        categories={"batch": TEXT, "cask": TEXT, "sample": TEXT},
        notes="Two assays of each of three casks from each of ten batches. Casks are nested implicitly: "
        "(1 | batch) + (1 | cask) would be another model, (1 | batch) + (1 | sample) is the same one.",
    ),
    Dataset(
        name="penicillin",
        title="Zones of inhibition of six penicillin samples on 24 plates",
        rows=144,
        columns={
            "diameter": "diameter of the zone in which the organism does not grow, millimetres",
            "plate": "assay plate, a to x, categorical",
            "sample": "penicillin sample, A to F, categorical",
        },
        source=_DAVIES.format("6.6"),
        origin=_FROM_LME4.format("Penicillin"),
        licence=_NO_LICENCE,
        formula="diameter ~ 1 + (1 | plate) + (1 | sample)",
        categories={"plate": TEXT, "sample": TEXT},
        notes="Fully crossed: every sample once on every plate.",
    ),
    Dataset(
        name="sleepstudy",
        title="Reaction times over ten days of a sleep restriction study",
        rows=180,
        columns={
            "Reaction": "the subject's average reaction time on that day, milliseconds",
            "Days": "day of the study, 0 to 9",
            "Subject": "subject, 18 levels, categorical",
        },
        source="Belenky, G., Wesensten, N. J., Thorne, D. R. et al. (2003), Patterns of performance "
        "degradation and restoration during sleep restriction and subsequent recovery: a sleep "
        "dose-response study, Journal of Sleep Research 12, 1-12.",
        origin=_FROM_LME4.format("sleepstudy"),
        licence=_NO_LICENCE,
        formula="Reaction ~ Days + (Days | Subject)",
        categories={"Subject": NUMBERED},
        notes="The group that spent three hours a night in bed. Days 0 and 1 were for adaptation and "
        "training and day 2 was the baseline, so that restriction shows from day 3 on; most textbook fits "
        "use all ten days.",
    ),
)
