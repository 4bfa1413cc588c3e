CREATE TABLE `databases` (
	`name` text PRIMARY KEY NOT NULL,
	`schema` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `rows` (
	`table_name` text NOT NULL,
	`uuid` text NOT NULL,
	`columns` text NOT NULL,
	PRIMARY KEY(`table_name`, `uuid`)
);
