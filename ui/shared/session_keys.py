"""Session keys that more than one file uses; a widget's value dies on a page change, these do not.

Widgets built from settings are keyed ``<prefix>.<field>``, see ``ui/shared/forms.py``.
"""

WORKSPACE_ROOT = "workspace_root"  # of a hosted demo's visitor, see ui/hosted/visitor.py
CONTROL_ROUNDS = "control_rounds"  # of the controls, see ui/shared/controls.py
CONTROL_TITLES = "control_titles"  # what their values are called, likewise
VISIT = "visit"  # counts changes of page
ADDRESS = "address"  # what is chosen and what the address named, see ui/shared/address.py
DATASET = "dataset"  # the sidebar's select box, also ?dataset= in the address
DATASET_TITLE = "dataset_title"  # (id, title) of the one last shown, to name it once it is gone
RUN = "run"  # the select box of Train, Classify and Evaluate, also ?run=
RUN_TITLE = "run_title"  # (id, title) of the run last shown, likewise
GONE = "gone"  # one line to show after the next rerun: what was chosen is not there any more
AUGMENT = "augment"  # plain dict of AugmentConfig, set on Data and used on Train
AUGMENT_PHOTO = "augment_photo"  # number of the photo that the explorer shows
USE_AUGMENT = "use_augment"  # whether training uses it
ALL_SETTINGS = "all_settings"  # whether Train opens with all its settings shown
TRAIN = "train"  # prefix of the training settings
TRAIN_VIEW = "train_view"  # what stands beside the settings
RETRAINING = "retraining"  # id of a run on corrected photos that is to be shown when it has ended
RETRAINED = "retrained"  # ids [old, new] of the run that was retrained last, and of what came of it
RETRAINED_CLOSED = "retrained_closed"  # set of such pairs whose comparison was closed
CORRECTION_ROUND = "correction_round"  # counts corrected answers, so that their boxes empty again
COMPARED = "compared"  # ids of the runs that are compared
ALL_PROJECTS = "all_projects"  # whether runs of other projects are listed as well
ALL_FOR_RUN = "all_for_run"  # whether that is so only because the address names one of their runs
SHOW_ARCHIVED = "show_archived"  # whether archived runs are listed
PREDICTIONS = "predictions"  # answers by model and by the content of photos of this session
UPLOADS = "uploads"  # the photos that were uploaded on Classify, see ui/classify/sources.py
UPLOAD_ROUND = "upload_round"  # counts uploads, so that each begins with an empty uploader
SHOT = "shot"  # the last camera picture on Classify
TASKS = "tasks"  # what runs in threads for this session, see ui/classify/background.py
MODEL_ROUND = "model_round"  # counts imported models, so that the uploader is empty again
MODEL_KIND = "model_kind"  # whether trained or imported models are offered
IMPORTED_MODEL = "imported_model"  # id of the imported model that was chosen
ANSWERS_FOLDER = "answers_folder"  # which folder of this machine Classify answers for
ADDING = "adding"  # photos that are being added to the project, with their classes
ADDING_REFUSED = "adding_refused"  # (name, reason) of those that were not, until they are shown
ANSWER_PICKED = "answer_picked"  # keys of the answers that are ticked
WARMED = "warmed"  # for what features were last asked in advance
INTAKE_REPORT = "intake_report"  # the IntakeReport of the last intake, see ui/data/intake/parts.py
INTAKE_NOW = "intake_now"  # name of what is being added; still there when a click ended that
INTAKE_ROUND = "intake_round"  # counts intakes, so that each begins with an empty uploader
LOOKED_INTO = "looked_into"  # contents of the archives in the uploader, by the file's id
NOTICE = "notice"  # one line to show after the next rerun, as it stands
SEEN_DATA = "seen_data"  # whether the Data page was open in this session
PICKED = "picked"  # set of paths of the pictures that are ticked on the Data page
PICKED_DATASET = "picked_dataset"  # whose pictures they are
FILTER = "gallery_filter"  # the Filter that a click in a chart asked for, see ui/data/filter.py
LABEL_SHEET = "label_sheet_shown"  # (dataset id, mode, Sheet) of the Label tab
LABEL_SKIPPED = "label_skipped"  # set of frozensets of paths: groups that were skipped
LABEL_LATER = "label_later"  # set of paths of single photos that were skipped
LABEL_LIKE = "label_like"  # paths of pictures whose like without a class are to be shown next
DATA_TABS = "data_tabs"  # which part of the Data page is open
MAP_PICTURE = "map_picture"  # path of the picture whose neighbours are shown
FILTER_DATASET = "gallery_filter_dataset"  # whose pictures it lets through
FILTER_ROUND = "gallery_filter_round"  # counts clearings, so that the charts forget theirs
IMPORT_ROUND = "import_round"  # counts loaded decision files, so that the uploader is empty again
SHOTS = "intake_shots"  # (class, small JPEG) of the last camera pictures added in this session
NUM_SHOTS = "intake_num_shots"  # how many were added
FOLDER = "folder"  # which folder of this machine the picker looks into
FOLDER_ROUND = "folder_round"  # counts its steps, so that the list of folders starts empty
