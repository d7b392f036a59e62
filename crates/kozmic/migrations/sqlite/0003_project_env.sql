-- Plain variables of every hook's scripts, as JSON; a hook's own go before them.
ALTER TABLE projects ADD COLUMN env TEXT NOT NULL DEFAULT '{}';
