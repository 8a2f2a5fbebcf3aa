"""What the columns of tables and the diagnoses in them are called elsewhere. Data alone: index and audit share it."""

from lesionbench.core.tasks import DIAGNOSES

# Our name → others that mean the same. Case, blanks, `_` and `-` do not count. A table with two of one line is refused.
ALIASES = {
    "image_id": ("image", "isic_id", "image_name", "img_id"),
    "lesion_id": ("lesion", "lesion_number", "lesion_nr", "lesion_no"),
    "patient_id": (
        *("patient", "patient_number", "patient_nr", "patient_no", "subject", "subject_id"),
        *("participant", "participant_id", "person", "person_id"),
    ),
    "dx": ("diagnosis", "diagnostic"),
    "dx_type": ("diagnosis_confirm_type",),
    "age": ("age_approx", "age_years"),
    "sex": ("gender",),
    "localization": (
        *("localisation", "anatom_site_general", "anatom_site_general_challenge", "anatom_site"),
        *("anatomical_site", "anatomic_site", "body_site", "body_part"),
    ),
    "dataset": (),
    "split": (),
    "group_id": (),
    "cohort": (),
}
# Names that may mean something else as well: the first that is there counts, where no name of ALIASES is.
LOOSE = {
    "image_id": ("file_name", "file", "path", "name"),  # of files: folders and suffixes are left out
    "dx": ("label", "class"),
    "localization": ("site", "location", "region"),
    "dataset": ("source", "clinic"),
    "split": ("set", "fold", "subset", "partition"),
}
# The ISIC Archive's diagnosis, from the widest word to the narrowest.
LEVELS = tuple(f"diagnosis_{n}" for n in range(1, 6))

# Columns of a one-hot table, and codes in a column, beside those of DIAGNOSES.
CODES = {**{dx: dx for dx in DIAGNOSES}, "ak": "akiec", "ack": "akiec", "nev": "nv", "sek": "bkl"}
# Diagnoses as words, of which HAM10000's description leaves no doubt; without punctuation and a last "nos".
WORDS = {
    "akiec": (
        *("actinic keratosis", "actinic keratoses", "solar keratosis", "solar or actinic keratosis"),
        *("bowen s disease", "bowen disease", "intraepithelial carcinoma", "squamous cell carcinoma in situ"),
    ),
    "bcc": (
        *("basal cell carcinoma", "nodular basal cell carcinoma", "superficial basal cell carcinoma"),
        *("pigmented basal cell carcinoma", "basal cell carcinoma nodular", "basal cell carcinoma superficial"),
    ),
    "bkl": (
        *("seborrheic keratosis", "seborrhoeic keratosis", "pigmented benign keratosis", "benign keratosis"),
        *("benign keratosis like lesion", "benign keratosis like lesions", "solar lentigo", "lichenoid keratosis"),
        *("lichen planus like keratosis",),
    ),
    "df": ("dermatofibroma",),
    "mel": (
        *("melanoma", "malignant melanoma", "melanoma in situ", "melanoma invasive", "invasive melanoma"),
        *("lentigo maligna", "lentigo maligna melanoma", "superficial spreading melanoma", "nodular melanoma"),
        *("acral lentiginous melanoma",),
    ),
    "nv": (
        *("nevus", "nevi", "naevus", "naevi", "melanocytic nevus", "melanocytic nevi", "melanocytic naevus"),
        *("atypical nevus", "dysplastic nevus", "clark nevus", "nevus atypical dysplastic or clark", "blue nevus"),
        *("congenital nevus", "compound nevus", "dermal nevus", "junctional nevus", "spitz nevus", "reed nevus"),
    ),
    "vasc": (
        *("vascular lesion", "vascular lesions", "angioma", "cherry angioma", "hemangioma", "haemangioma"),
        *("angiokeratoma", "pyogenic granuloma"),
    ),
}
# Classes of public tables that are none of DIAGNOSES.
OTHERS = ("scc", "squamous cell carcinoma", "unk", "unknown", "other", "others", "none of the others")
