CREATE TABLE `side_samples` (
	`step_seconds` integer NOT NULL,
	`slot` integer NOT NULL,
	`time_ms` integer NOT NULL,
	`data` text NOT NULL,
	PRIMARY KEY(`step_seconds`, `slot`)
);
