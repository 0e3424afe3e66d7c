"""Entries of the education data sets, those that the practicals work through."""

from __future__ import annotations

from bayesmlm.datasets.entry import NUMBERED, TEXT, Dataset

_CODED = "code as in the source file"
_DISADVANTAGED = "disadvantaged pupils (FSM6CLA1A, see the notes)"

_ENGLAND_CATEGORIES = (
    "LANAME",
    "gor_name",
    "SCHOOLTYPE.x",
    "RELCHAR",
    "ADMPOL.y",
    "ADMPOL_PT",
    "gender_name",
    "OFSTEDRATING",
    "MINORGROUP",
)

ENGLAND_SCHOOLS = Dataset(
    name="england_schools",
    title="Attainment in state-funded secondary schools in England, 2022-23",
    rows=3056,
    columns={
        "URN": "unique reference number of the school",
        "SCHNAME.x": "name of the school, string",
        "LEA": "number of the local authority",
        "LANAME": "name of the local authority, 151 levels, categorical; nested in gor_name",
        "TOWN.x": "town, string",
        "gor_name": "government office region, 9 levels, categorical",
        "TOTPUPS": "number of pupils on roll",
        "ATT8SCR": "average Attainment 8 score per pupil, points over eight GCSE-level subjects",
        "ATT8SCRENG": "average Attainment 8 score per pupil in the English element, points",
        "ATT8SCRMAT": "average Attainment 8 score per pupil in the mathematics element, points",
        "ATT8SCR_FSM6CLA1A": f"average Attainment 8 score of {_DISADVANTAGED}, points",
        "ATT8SCR_NFSM6CLA1A": "average Attainment 8 score of the other pupils, points",
        "ATT8SCR_BOYS": "average Attainment 8 score of boys, points",
        "ATT8SCR_GIRLS": "average Attainment 8 score of girls, points",
        "P8MEA": "Progress 8 score: Attainment 8 relative to pupils with the same results at the end of "
        "primary school, in grades per subject; 0 is about the national average",
        "P8MEA_FSM6CLA1A": f"Progress 8 score of {_DISADVANTAGED}",
        "P8MEA_NFSM6CLA1A": "Progress 8 score of the other pupils",
        "PTFSM6CLA1A": f"{_DISADVANTAGED} among those at the end of key stage 4, percent",
        "PTNOTFSM6CLA1A": "the other pupils at the end of key stage 4, percent",
        "PNUMEAL": "pupils whose first language is not English, percent of the roll",
        "PNUMENGFL": "pupils whose first language is English, percent of the roll",
        "PTPRIORLO": "pupils at the end of key stage 4 with low attainment at the end of primary school, "
        "percent",
        "PTPRIORHI": "pupils at the end of key stage 4 with high attainment at the end of primary school, "
        "percent",
        "NORB": "number of boys on roll",
        "NORG": "number of girls on roll",
        "PNUMFSMEVER": "pupils eligible for free school meals at any time in the past six years, percent of "
        "the roll",
        "PERCTOT": "overall absence, percent of possible sessions",
        "PPERSABS10": "pupils who are persistently absent (10 percent or more of their sessions), percent",
        "SCHOOLTYPE.x": "type of school, categorical; one level here",
        "RELCHAR": "religious character, categorical; 'None' and 'Does not apply' are levels, not missing "
        "values",
        "ADMPOL.y": "admissions policy, categorical",
        "ADMPOL_PT": "admissions policy in the performance tables, categorical: selective (SEL), not "
        "selective in a highly selective area (the reference), other not selective",
        "gender_name": "gender of the intake: Boys, Girls or Mixed, categorical",
        "OFSTEDRATING": "judgement of the school inspectorate Ofsted, 5 levels in alphabetical order, "
        "categorical",
        "MINORGROUP": "Academy or Maintained school, categorical",
        "easting": "British National Grid easting, metres",
        "northing": "British National Grid northing, metres",
    },
    source="Department for Education (England), school performance tables 2022-23: key stage 4 results, "
    "school census, absence and school information.",
    origin="The tables were joined by school for a university practical; the suffixes .x and .y are traces "
    "of the joins. All rows of the joined file are kept.",
    licence="Open Government Licence v3.0. Contains public sector information licensed under the Open "
    "Government Licence v3.0.",
    formula="P8MEA ~ PTFSM6CLA1A + (PTFSM6CLA1A | LANAME)",
    categories=dict.fromkeys(_ENGLAND_CATEGORIES, TEXT),
    notes="The practicals use the 2961 schools whose four main variables are present and positive: "
    "schools.query('ATT8SCR > 0 and PTFSM6CLA1A > 0 and PERCTOT > 0 and PNUMEAL > 0'). Of these 59 have no "
    "OFSTEDRATING. FSM6CLA1A: eligible for free school meals in the past six years, or looked after by the "
    "local authority for at least a day, or adopted from care. Percentages of the year group are rounded to "
    "whole numbers.",
)

GCSEMV = Dataset(
    name="gcsemv",
    title="Written paper and coursework in a GCSE science examination",
    rows=1905,
    columns={
        "school": "school, 73 levels, categorical",
        "student": "student number within the school, 649 levels, categorical; used again in other schools",
        "gender": "F or M, categorical, F first",
        "written": "score on the written paper, 0 to 100",
        "course": "score on the coursework, 0 to 100",
        "female": "the same as gender, categorical, with M first: M is the reference and the coefficient is "
        "femaleF",
    },
    source="GCSE results of 1989. Cresswell, M. (1991), A multilevel bivariate model, in Prosser, R., "
    "Rasbash, J. and Goldstein, H., eds, Data Analysis with ML3, Institute of Education, London; Rasbash, "
    "J. et al. (2000), A User's Guide to MLwiN, Institute of Education, London, chapter on multivariate "
    "response models.",
    origin="Values exported from the R package mlmRev (itself GPL-2 or later), where it is called Gcsemv; "
    "`female` is added here.",
    licence="No licence is stated by the source. Example data that the authors of MLwiN give away for "
    "teaching; no text or code was taken from the R package.",
    formula="course ~ 1 + female + (1 + female | school)",
    categories={"school": NUMBERED, "student": NUMBERED, "gender": TEXT},
    notes="`written` is missing for 202 students and `course` for 180, never both. The values of `course` "
    "are marks out of 108 as a percentage, cut to three digits.",
)

HSB = Dataset(
    name="hsb",
    title="Mathematics achievement in 160 American high schools",
    rows=7185,
    columns={
        "SCHOOL": "school, 160 levels, categorical",
        "MINORITY": "1 if the student belongs to an ethnic minority, else 0",
        "FEMALE": "1 if the student is female, else 0",
        "SES": "socio-economic status of the student's family, standardised scale",
        "MATHACH": "mathematics achievement score",
        "SIZE": "number of students in the school",
        "SECTOR": "1 if the school is Catholic, 0 if it is public",
        "PRACAD": "proportion of the school's students on the academic track, 0 to 1",
        "DISCLIM": "scale of the disciplinary climate of the school",
        "HIMINTY": "1 if more than 40 percent of the school's students belong to a minority, else 0",
        "MEANSES": "mean of SES in the school, as in the source file",
        "cses": "SES - MEANSES, the student's status relative to the school",
    },
    source="High School and Beyond, 1982, National Center for Education Statistics (United States); the "
    "subsample of Raudenbush, S. W. and Bryk, A. S. (2002), Hierarchical Linear Models, 2nd edition, Sage, "
    "chapter 4.",
    origin="Values as in MathAchieve and MathAchSchool of the R package nlme (itself GPL-2 or later), "
    "merged by school and coded as in the book; `cses` is added here.",
    licence="No licence is stated with this copy. The survey is a public-use file of a federal statistical "
    "agency; no text or code was taken from the R package.",
    formula="MATHACH ~ cses + MEANSES + SECTOR + cses*MEANSES + cses*SECTOR + (1 + cses | SCHOOL)",
    categories={"SCHOOL": NUMBERED},
    notes="90 public and 70 Catholic schools. MEANSES is higher by 0.006 than the mean of SES in every "
    "school, so that cses averages -0.006, not 0, within each.",
)

IMM10 = Dataset(
    name="imm10",
    title="Homework and mathematics scores in ten American schools",
    rows=260,
    columns={
        "schid": "identifier of the school in the survey",
        "stuid": "number of the student within the school",
        "ses": "socio-economic status of the student's family, standardised scale",
        "meanses": "mean of ses over the school's students in this file",
        "homework": "time spent on mathematics homework in a week, 0 to 7; usually read as hours, though the "
        "upper codes may stand for ranges of hours",
        "white": "1 if the student is white, else 0",
        "parented": "highest education of the parents, 1 (did not finish high school) to 6 (doctorate or "
        "like)",
        "public": "1 if the school is public, else 0",
        "ratio": "students per teacher",
        "percmin": "minority students in the school, coded 0 (none) to 7 (more than 90 percent)",
        "math": "mathematics score",
        "sex": "1 male, 2 female",
        "race": "1 Asian, 2 Hispanic, 3 Black, 4 White",
        "sctype": "type of school: 1 public, 4 private without religious affiliation (2 and 3 do not occur)",
        "cstr": f"structure of the classroom environment, 1 to 5; {_CODED}",
        "scsize": f"size of the school, from 1 (below 200 students) to 7 (1200 and more); {_CODED}",
        "urban": "1 urban, 2 suburban, 3 rural",
        "region": "1 Northeast, 2 North Central, 3 South, 4 West",
        "schnum": "number of the school in this file, 1 to 10",
    },
    source="National Education Longitudinal Study of 1988 (NELS:88), National Center for Education "
    "Statistics (United States); ten schools chosen by Kreft, I. and de Leeuw, J. (1998), Introducing "
    "Multilevel Modeling, Sage.",
    origin="A copy of the teaching file imm10 that goes with the book.",
    licence="No licence is stated with this copy. The survey is a public-use file of a federal statistical "
    "agency.",
    formula="math ~ homework + (homework | schnum)",
    categories={},
    notes="All columns are numbers; write factor(schnum) where dummies are meant. The schools were picked "
    "by hand to show slopes that differ, not drawn at random. School 7 has 67 of the 260 students.",
)

LSYPE_SIM = Dataset(
    name="lsype_sim",
    title="Simulated value-added data: attainment at 16 given attainment at 11 in 657 schools",
    rows=16316,
    columns={
        "pupilid": "pupil, one number per row",
        "schoolID": "made-up number of the school, 657 values",
        "ks2stand": "attainment at the end of key stage 2 (age 11), centred scale",
        "ks4stand": "attainment at the end of key stage 4 (age 16), centred scale",
        "gender": "0 or 1; level 1 was given the higher attainment at key stage 4",
        "fsm": "1 if the pupil is eligible for free school meals, else 0",
        "schoolfsm": "pupils in the school eligible for free school meals, percent of those with known fsm",
    },
    source="Simulated for this project. It stands in for the teaching file of the Longitudinal Study of "
    "Young People in England (LSYPE), which may not be redistributed, with the same columns and a like "
    "structure.",
    origin="Drawn from a random-slope model with parameters near those that a practical prints for the "
    "LSYPE file; no record of a real pupil or school went into it. `schoolfsm` is added here.",
    licence="That of this package (Apache-2.0).",
    formula="ks4stand ~ ks2stand + factor(gender) + factor(fsm) + (1 | schoolID)",
    categories={},
    notes="Missing completely at random: ks2stand 1448, ks4stand 190, fsm 360. Nothing about real schools "
    "can be learnt from these data.",
)

EDUCATION = (ENGLAND_SCHOOLS, GCSEMV, HSB, IMM10, LSYPE_SIM)
