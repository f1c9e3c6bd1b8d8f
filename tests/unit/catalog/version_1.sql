-- An atlas as schema version 1 left it. Frozen once released: a newer schema gets a migration.
CREATE TABLE atlas_schema (
  version INTEGER NOT NULL
);
CREATE TABLE families (
  id INTEGER NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  signature JSON NOT NULL,
  digest TEXT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (role, digest),
  UNIQUE (name)
);
CREATE TABLE skipped (
  path TEXT NOT NULL,
  reason TEXT NOT NULL,
  kind TEXT NOT NULL,
  seen TEXT NOT NULL,
  PRIMARY KEY (path)
);
CREATE TABLE family_tensors (
  id INTEGER NOT NULL,
  family_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  shape JSON NOT NULL,
  PRIMARY KEY (id),
  UNIQUE (family_id, name),
  FOREIGN KEY(family_id) REFERENCES families (id)
);
CREATE TABLE trees (
  id INTEGER NOT NULL,
  family_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  reference_id INTEGER,
  PRIMARY KEY (id),
  UNIQUE (family_id, name),
  UNIQUE (family_id, reference_id),
  FOREIGN KEY(family_id) REFERENCES families (id)
);
CREATE TABLE places (
  tree_id INTEGER NOT NULL,
  position INTEGER NOT NULL,
  model_id INTEGER NOT NULL,
  PRIMARY KEY (tree_id, position),
  FOREIGN KEY(tree_id) REFERENCES trees (id)
);
CREATE INDEX ix_places_model_id ON places (model_id);
CREATE TABLE undecided (
  tree_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  models JSON NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (tree_id, ordinal),
  FOREIGN KEY(tree_id) REFERENCES trees (id)
);
CREATE TABLE models (
  id INTEGER NOT NULL,
  name TEXT NOT NULL,
  path TEXT NOT NULL,
  kind TEXT NOT NULL,
  format TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  stamp JSON NOT NULL,
  content_hash TEXT,
  nbytes BIGINT NOT NULL,
  parameters BIGINT NOT NULL,
  dtype TEXT NOT NULL,
  facts JSON NOT NULL,
  config JSON NOT NULL,
  metadata JSON NOT NULL,
  status TEXT NOT NULL,
  added TEXT NOT NULL,
  family_id INTEGER,
  tree_id INTEGER,
  position INTEGER,
  PRIMARY KEY (id),
  FOREIGN KEY(tree_id, position) REFERENCES places (tree_id, position),
  CONSTRAINT known_status CHECK (status in ('pending', 'ready', 'gone', 'removed')),
  CONSTRAINT whole_place CHECK ((tree_id is null) = (position is null)),
  UNIQUE (name),
  FOREIGN KEY(family_id) REFERENCES families (id)
);
CREATE INDEX ix_models_path ON models (path);
CREATE TABLE gram_rows (
  tree_id INTEGER NOT NULL,
  tensor_id INTEGER NOT NULL,
  position INTEGER NOT NULL,
  content_hash TEXT NOT NULL,
  norm FLOAT,
  kurtosis FLOAT,
  peak FLOAT,
  unchanged FLOAT,
  nonfinite BIGINT NOT NULL,
  products BLOB NOT NULL,
  PRIMARY KEY (tree_id, tensor_id, position),
  FOREIGN KEY(tree_id, position) REFERENCES places (tree_id, position),
  FOREIGN KEY(tensor_id) REFERENCES family_tensors (id)
);
CREATE TABLE samples (
  model_id INTEGER NOT NULL,
  layout TEXT NOT NULL,
  weights BLOB NOT NULL,
  PRIMARY KEY (model_id),
  FOREIGN KEY(model_id) REFERENCES models (id)
);
CREATE TABLE edges (
  tree_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  parent_id INTEGER NOT NULL,
  child_id INTEGER NOT NULL,
  kind TEXT NOT NULL,
  confidence FLOAT NOT NULL,
  evidence JSON NOT NULL,
  PRIMARY KEY (tree_id, ordinal),
  FOREIGN KEY(tree_id) REFERENCES trees (id),
  FOREIGN KEY(parent_id) REFERENCES models (id),
  FOREIGN KEY(child_id) REFERENCES models (id)
);
CREATE TABLE roots (
  tree_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  model_id INTEGER NOT NULL,
  PRIMARY KEY (tree_id, ordinal),
  FOREIGN KEY(tree_id) REFERENCES trees (id),
  FOREIGN KEY(model_id) REFERENCES models (id)
);
CREATE TABLE regions (
  tree_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  label TEXT NOT NULL,
  medoid_id INTEGER NOT NULL,
  members JSON NOT NULL,
  PRIMARY KEY (tree_id, ordinal),
  FOREIGN KEY(tree_id) REFERENCES trees (id),
  FOREIGN KEY(medoid_id) REFERENCES models (id)
);
CREATE TABLE points (
  tree_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  model_id INTEGER NOT NULL,
  x FLOAT NOT NULL,
  y FLOAT NOT NULL,
  PRIMARY KEY (tree_id, ordinal),
  FOREIGN KEY(tree_id) REFERENCES trees (id),
  FOREIGN KEY(model_id) REFERENCES models (id)
);
CREATE TABLE maps (
  tree_id INTEGER NOT NULL,
  base_id INTEGER,
  pooling TEXT NOT NULL,
  models JSON NOT NULL,
  ordered JSON NOT NULL,
  outliers JSON NOT NULL,
  notes JSON NOT NULL,
  cosine BLOB NOT NULL,
  PRIMARY KEY (tree_id),
  FOREIGN KEY(tree_id) REFERENCES trees (id),
  FOREIGN KEY(base_id) REFERENCES models (id)
);

INSERT INTO atlas_schema VALUES (1);
INSERT INTO families VALUES (1, 'bert 22.7M', 'full', '[["encoder.weight", [4, 3]]]', 'a digest');
INSERT INTO family_tensors VALUES (1, 1, 'encoder.weight', '[4, 3]');
INSERT INTO trees VALUES (1, 1, 'base', 1);
INSERT INTO places VALUES (1, 0, 1), (1, 1, 2);
INSERT INTO models VALUES
  (1, 'base', '/models/base', 'full', 'safetensors', 'f1', '[["model.safetensors", 64, 5]]', NULL,
   64, 12, 'F32', '{"declared": [], "wants": [], "run": null, "step": null, "ranks": null}',
   '{"hidden_size": 4}', '{}', 'ready', '2026-01-02T03:04:05+00:00', 1, 1, 0),
  (2, 'tuned', '/models/tuned', 'full', 'safetensors', 'f2', '[["model.safetensors", 64, 6]]', 'h',
   64, 12, 'BF16', '{"declared": ["base"], "wants": [], "run": "r", "step": 9, "ranks": null}',
   '{}', '{"licence": "x"}', 'ready', '2026-01-02T03:04:05+00:00', 1, 1, 1);
-- products: 0.0; 0.0 and 2.0
INSERT INTO gram_rows VALUES
  (1, 1, 0, 'aa', 3.0, 0.0, 1.0, 1.0, 0, x'0000000000000000'),
  (1, 1, 1, 'bb', 3.5, NULL, 1.5, 0.5, 0, x'00000000000000000000000000000040');
INSERT INTO samples VALUES (1, 'family 1', x'0000803f'), (2, 'family 1', x'00000040');
INSERT INTO edges VALUES (1, 0, 1, 2, 'full', 0.75, '["declared"]');
INSERT INTO roots VALUES (1, 0, 1);
INSERT INTO regions VALUES (1, 0, 'region:tuned', 2, '["tuned"]');
INSERT INTO points VALUES (1, 0, 1, 0.0, 0.0), (1, 1, 2, 1.0, 0.5);
-- cosine: 2 x 2, NaN but for the tuned model with itself
INSERT INTO maps VALUES (1, 1, 'mean', '["base", "tuned"]', '["base", "tuned"]', '[]', '["two"]',
  x'000000000000f87f000000000000f87f000000000000f87f000000000000f03f');
INSERT INTO skipped VALUES ('/models/x.gguf', 'GGUF is not read yet', 'unsupported', '2026-01-02');
