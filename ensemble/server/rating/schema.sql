-- Tables of a file of ratings, version 1. Answers are added and never changed: the last
-- one of a rater to a clip is the one that counts.

CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE clips (
    number INTEGER PRIMARY KEY,
    -- The name under which raters are given the clip, which says nothing about it.
    token TEXT NOT NULL UNIQUE,
    clip_id TEXT NOT NULL UNIQUE,
    system_id TEXT NOT NULL,
    prompt TEXT NOT NULL,
    audio TEXT NOT NULL,
    sha256 TEXT NOT NULL
);

CREATE TABLE raters (
    number INTEGER PRIMARY KEY,
    code TEXT NOT NULL,
    -- The code in lower case, so that "Anna" and "anna" are one rater.
    folded TEXT NOT NULL UNIQUE,
    joined_at TEXT NOT NULL
);

CREATE TABLE sessions (
    sha256 TEXT PRIMARY KEY,
    rater INTEGER NOT NULL REFERENCES raters (number),
    started_at TEXT NOT NULL
);

CREATE TABLE queue (
    rater INTEGER NOT NULL REFERENCES raters (number),
    position INTEGER NOT NULL,
    clip INTEGER NOT NULL REFERENCES clips (number),
    PRIMARY KEY (rater, position),
    UNIQUE (rater, clip)
);

CREATE TABLE answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rater INTEGER NOT NULL,
    clip INTEGER NOT NULL,
    submission TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN ('rated', 'cannot_judge', 'broken')),
    plays INTEGER NOT NULL,
    listened_seconds REAL NOT NULL,
    answer_seconds REAL NOT NULL,
    given_at TEXT NOT NULL,
    FOREIGN KEY (rater, clip) REFERENCES queue (rater, clip)
);

CREATE INDEX answers_of_clip ON answers (rater, clip, number);

CREATE TABLE ratings (
    answer INTEGER NOT NULL REFERENCES answers (number),
    aspect TEXT NOT NULL,
    rating REAL NOT NULL,
    PRIMARY KEY (answer, aspect)
);
