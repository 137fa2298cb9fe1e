"""The schema, as migrations: append a function, never edit one that has shipped."""

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

migration = Migrations("slicewise")


@migration()
def m001_tables(db: Database) -> None:
    """Images, classes and label events. AUTOINCREMENT: a label's id is the clock, so none is used twice."""
    db.executescript("""
        create table images (
            id integer primary key autoincrement,
            uid text not null unique,               -- names the pixel file; never from outside
            digest text not null,                   -- of name and pixels: the same import twice is one image
            name text not null unique,
            z integer not null, y integer not null, x integer not null, channels integer not null,
            dtype text not null,
            facts text not null,                    -- JSON: spacing, marks, geometry, window, range, presets
            modality text, source text not null,
            created_at text not null default current_timestamp
        );
        create index images_digest on images(digest);
        create table classes (
            id integer primary key, name text not null unique, color text not null,
            removed integer not null default 0
        );
        create table labels (
            id integer primary key autoincrement,   -- the clock
            uid text unique,                        -- names the patch file; null where there is none
            client_id text not null unique,         -- made by whoever sent it: a repeat is not a second event
            image_id integer not null references images(id),
            kind text not null check (kind in ('patch', 'complete', 'revoke')),
            axis integer, slice integer,
            r0 integer, c0 integer, r1 integer, c1 integer,
            classes text not null default '[]',     -- JSON: the class values this event says
            source text not null, author text not null, seconds real not null default 0,
            prompts text not null default '{}', instance integer not null default 0,
            revokes integer references labels(id),  -- a row that only takes an earlier one back
            live integer not null default 1,        -- kept in step with `revokes` inside the same transaction
            created_at text not null default current_timestamp
        );
        create index labels_image on labels(image_id, live, id);
        create index labels_author on labels(author, live, id);
        create table settings (key text primary key, value text not null);
    """)


@migration()
def m002_predictions(db: Database) -> None:
    """Pseudo-labels: what a propagator or a model proposes for an image. The newest of a producer counts."""
    db.executescript("""
        create table predictions (
            id integer primary key autoincrement,
            uid text not null unique,               -- names the files
            image_id integer not null references images(id),
            producer text not null,                 -- a propagator's or a learner's name
            kind text not null check (kind in ('propagated', 'predicted')),
            round_id integer,                       -- the round that made it; null for a propagator
            seen_label integer not null,            -- the clock when it began
            expected_dice real,                     -- null: nothing to judge by yet
            created_at text not null default current_timestamp
        );
        create index predictions_image on predictions(image_id, producer, id);
    """)


@migration()
def m003_rounds(db: Database) -> None:
    """Rounds of learners, what is held out to judge them, and how much people changed what they proposed."""
    db.executescript("""
        create table rounds (
            id integer primary key autoincrement,
            learner text not null,
            kind text not null check (kind in ('train', 'predict')),
            seen_label integer not null,            -- the clock when it began
            status text not null check (status in ('running', 'done', 'failed', 'lost')),
            model_round integer,                    -- the round whose model was kept: this one, or an earlier one
            dice real, child_dice real, parent_dice real,   -- on that day's held-out labels
            metrics text not null default '{}',     -- JSON: steps, seconds, classes, notes
            error text,                             -- one sentence
            labelled_slices integer not null default 0, annotator_seconds real not null default 0,
            started_at text not null default current_timestamp, finished_at text
        );
        create index rounds_learner on rounds(learner, id);
        create table held_out (                     -- once held out, always: no model ever trained on it
            image_id integer not null references images(id),
            axis integer not null, slice integer not null,  -- -1, -1: the whole image
            label_id integer not null,              -- the clock when it was chosen
            primary key (image_id, axis, slice)
        );
        create table corrections (
            id integer primary key autoincrement,
            image_id integer not null references images(id),
            producer text not null, seen_label integer not null,
            expected real, dice real not null,      -- of the proposal, where people spoke after it
            created_at text not null default current_timestamp,
            unique (image_id, producer, seen_label)
        );
    """)


@migration()
def m004_tags(db: Database) -> None:
    """Tags: label events that say which classes are on a slice and nothing about where. SQLite cannot change a
    check, so the table is made anew; `present` is null for every other kind, and a revocation of a tag copies it."""
    db.execute("""
        create table labels_with_tags (
            id integer primary key autoincrement,   -- the clock
            uid text unique, client_id text not null unique,
            image_id integer not null references images(id),
            kind text not null check (kind in ('patch', 'complete', 'tag', 'revoke')),
            axis integer, slice integer,
            r0 integer, c0 integer, r1 integer, c1 integer,
            classes text not null default '[]',
            source text not null, author text not null, seconds real not null default 0,
            prompts text not null default '{}', instance integer not null default 0,
            revokes integer references labels_with_tags(id),  -- the last rename below makes it labels
            live integer not null default 1,
            created_at text not null default current_timestamp,
            present integer check ((kind != 'tag' or present is not null) and present in (0, 1))
        )
    """)
    names = (
        "id uid client_id image_id kind axis slice r0 c0 r1 c1 classes source author seconds prompts instance"
    )
    columns = ", ".join([*names.split(), "revokes", "live", "created_at"])
    db.execute(f"insert into labels_with_tags ({columns}) select {columns} from labels order by id")
    db.execute("drop table labels")
    db.execute("alter table labels_with_tags rename to labels")
    db.execute("create index labels_image on labels(image_id, live, id)")
    db.execute("create index labels_author on labels(author, live, id)")
    db.execute("create index labels_tags on labels(image_id, id) where kind = 'tag' and live")


@migration()
def m005_image_marks(db: Database) -> None:
    """What people said about whole images, beside labels: look here again, label this first, leave this out."""
    db.executescript("""
        create table image_marks (
            image_id integer not null references images(id),
            mark text not null check (mark in ('flag', 'first', 'skip')),
            author text not null,
            created_at text not null default current_timestamp,
            primary key (image_id, mark)
        );
    """)


@migration()
def m006_prior(db: Database) -> None:
    """Which producer's proposal a fill started from; null where it started from labels alone."""
    db.execute("alter table predictions add column prior text")


@migration()
def m007_answers(db: Database) -> None:
    """What was answered to each change, so that a repeat gets the same; a way from an event to what revokes it."""
    db.executescript("""
        create table answers (client_id text primary key, answer text not null) without rowid;
        create index labels_revokes on labels(revokes) where revokes is not null;
    """)


@migration()
def m008_class_values(db: Database) -> None:
    """The values that a data set fixes for classes: what was 5 in its masks is 5 in exports."""
    db.executescript("""
        create table class_values (
            class_id integer primary key references classes(id),
            value integer not null unique
        );
    """)


@migration()
def m009_image_progress(db: Database) -> None:
    """How many voxels of an image nobody spoke about, as counted at an event. Counted anew wherever it is older than
    the image's labels, so nothing is lost with it."""
    db.executescript("""
        create table image_progress (
            image_id integer primary key references images(id),
            rev integer not null,                   -- the newest event on the image's voxels when it was counted
            unsaid integer not null
        );
    """)


@migration()
def m010_acts(db: Database) -> None:
    """What is done and taken back as a whole: imports, merged classes, deleted images. A label event may belong to an
    act; a new kind of event relabels all that was said before it on its image. SQLite cannot change a check, so the
    table is made anew. `images.bin` names the act that threw an image away, `emptied` that its files are gone."""
    db.executescript("""
        create table acts (
            id integer primary key autoincrement,
            client_id text not null unique,
            kind text not null, title text not null, author text not null,
            facts text not null default '{}',       -- JSON: what undoing needs beside the labels
            undone integer not null default 0,
            created_at text not null default current_timestamp
        );
        alter table images add column act integer references acts(id);      -- the import that brought it
        alter table images add column bin integer references acts(id);
        alter table images add column emptied integer not null default 0;
        alter table images add column shown_name text;                      -- its name while it is in the bin
        alter table classes add column since integer not null default 0;    -- events up to here meant another class
        alter table classes add column made integer not null default 0;     -- grows each time a number gets a class
    """)
    db.execute("""
        create table labels_with_acts (
            id integer primary key autoincrement,   -- the clock
            uid text unique, client_id text not null unique,
            image_id integer not null references images(id),
            kind text not null check (kind in ('patch', 'complete', 'tag', 'relabel', 'revoke')),
            axis integer, slice integer,
            r0 integer, c0 integer, r1 integer, c1 integer,
            classes text not null default '[]',     -- of a relabelling: [from, to]
            source text not null, author text not null, seconds real not null default 0,
            prompts text not null default '{}', instance integer not null default 0,
            revokes integer references labels_with_acts(id),  -- the last rename below makes it labels
            live integer not null default 1,
            created_at text not null default current_timestamp,
            present integer check ((kind != 'tag' or present is not null) and present in (0, 1)),
            act integer references acts(id)
        )
    """)
    names = (
        "id uid client_id image_id kind axis slice r0 c0 r1 c1 classes source author seconds prompts instance"
    )
    columns = ", ".join([*names.split(), "revokes", "live", "created_at", "present"])
    db.execute(f"insert into labels_with_acts ({columns}) select {columns} from labels order by id")
    db.execute("drop table labels")
    db.execute("alter table labels_with_acts rename to labels")
    db.executescript("""
        create index labels_image on labels(image_id, live, id);
        create index labels_author on labels(author, live, id);
        create index labels_tags on labels(image_id, id) where kind = 'tag' and live;
        create index labels_revokes on labels(revokes) where revokes is not null;
        create index labels_relabel on labels(image_id, id) where kind = 'relabel' and live;
        create index labels_act on labels(act) where act is not null;
    """)


@migration()
def m011_judged(db: Database) -> None:
    """What held-out images said of each model, on which set of them a round was judged, and what a model claimed of a
    proposal beside what its calibration makes of that. Numbers that were shown before nothing had calibrated: they are
    kept as claims."""
    db.executescript("""
        create table cores (                        -- sets of held-out images that judge; the newest judges today
            id integer primary key autoincrement,
            clock integer not null,                 -- newer labels do not judge
            places text not null,                   -- JSON: [[image, axis, slice], ..]
            digest text not null,                   -- of the labels that it judges by
            created_at text not null default current_timestamp
        );
        create table judged (                       -- the model that people see, on each held-out image
            round_id integer not null references rounds(id),
            image_id integer not null references images(id),
            dice real not null, claimed real,       -- null: the model says nothing about itself
            core integer not null,                  -- 1: of the set that the round was judged by
            primary key (round_id, image_id)
        );
        alter table rounds add column core integer;            -- null: judged before there were sets, or not at all
        alter table predictions add column claimed real;       -- the Dice that the model expects of itself
        alter table predictions add column expected_low real;
        alter table predictions add column expected_high real; -- expected_dice lies between; null: not calibrated
        update predictions set claimed = expected_dice, expected_dice = null;
        alter table corrections rename column expected to claimed;
        alter table corrections add column whole_dice real;    -- on slices that people spoke about wholly
    """)


@migration()
def m012_image_files(db: Database) -> None:
    """Fingerprints of the files that images came from: a file that is known is not read again."""
    db.executescript("""
        create table image_files (
            fingerprint blob primary key,           -- of program version, path and content
            image_id integer not null references images(id)
        ) without rowid;
        create index image_files_image on image_files(image_id);
    """)


@migration()
def m014_claims_anew(db: Database) -> None:
    """A model's word about itself is another number than it was, so that the old ones calibrate nothing."""
    db.executescript("""
        update predictions set claimed = null, expected_dice = null, expected_low = null, expected_high = null;
        update corrections set claimed = null;
        update judged set claimed = null;
    """)


@migration()
def m015_withheld(db: Database) -> None:
    """Why nobody is shown what a learner made of an image; null: it is shown."""
    db.execute("alter table predictions add column withheld text")


@migration()
def m016_same_pixels(db: Database) -> None:
    """What an image's pixels are known by, whatever file they came from, and the other files that were taken as it."""
    db.executescript("""
        alter table images add column pixels text;  -- null: of an older version, and noted when it is asked for
        create table image_copies (
            image_id integer not null references images(id),
            source text not null,                   -- the copy's path below what was imported
            act integer,                            -- the import that took it; once that is undone it counts no more
            primary key (source, image_id)
        ) without rowid;
        create index image_copies_image on image_copies(image_id);
    """)


@migration()
def m017_other_tools(db: Database) -> None:
    """What people got to see of an image in another tool, and what such tools keep beside images and labels."""
    db.executescript("""
        create table handed_out (                   -- labels newer than this were not seen there
            author text not null, image_id integer not null references images(id),
            rev integer not null,
            primary key (author, image_id)
        ) without rowid;
        create table tool_notes (
            image_id integer not null references images(id),
            tag text not null,                      -- of a label, as the tool calls it; "" is the image itself
            rev integer not null,                   -- the newest event of the label when it was saved
            author text not null, info text not null,  -- JSON
            primary key (image_id, tag)
        ) without rowid;
    """)


@migration()
def m018_channels(db: Database) -> None:
    """Channels that images have beside the picture that shows them together; each is a file of its own."""
    db.executescript("""
        create table channels (
            id integer primary key autoincrement,
            uid text not null unique,               -- names the file
            image_id integer not null references images(id),
            number integer not null,                -- its place among the channels of the image, from 0
            name text not null, dtype text not null,
            facts text not null,                    -- JSON: colour, window, gamma, whether shown, range, digest
            unique (image_id, number)
        );
    """)


@migration()
def m019_class_codes(db: Database) -> None:
    """What a class is in a coding scheme, as "SCT 10200004 Liver"; "" where nobody said it."""
    db.execute("alter table classes add column code text not null default ''")


@migration()
def m020_object_classes(db: Database) -> None:
    """Whether a class is one of objects, each with a number of its own, or of areas."""
    db.execute("alter table classes add column objects integer not null default 0")


@migration()
def m021_scenes(db: Database) -> None:
    """Images larger than memory, which stay where they are, their overviews, and the images that are parts of them."""
    db.executescript("""
        create table scenes (
            id integer primary key autoincrement,
            name text not null unique,
            path text not null,                     -- of the file or folder; nobody but administrators is told
            z integer not null, y integer not null, x integer not null, channels integer not null,
            dtype text not null,
            facts text not null,                    -- JSON: size and margin of regions, spacing, windows, pieces lost
            act integer,                            -- the import that brought it; once that is undone it counts no more
            created_at text not null default current_timestamp
        );
        create table scene_overviews (
            scene_id integer not null references scenes(id),
            slab integer not null, picture blob not null,  -- WebP
            primary key (scene_id, slab)
        ) without rowid;
        create table regions (
            image_id integer primary key references images(id),
            scene_id integer not null references scenes(id),
            slab integer not null, line integer not null, place integer not null  -- in the grid of the scene
        );
        create index regions_scene on regions(scene_id);
    """)
