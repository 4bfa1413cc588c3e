CREATE TABLE `confirmations` (
	`id` integer PRIMARY KEY NOT NULL,
	`state` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `revisions` (
	`number` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`time_ms` integer NOT NULL,
	`kind` text NOT NULL,
	`author` text NOT NULL,
	`comment` text,
	`inserted` integer NOT NULL,
	`modified` integer NOT NULL,
	`deleted` integer NOT NULL,
	`changes` text NOT NULL,
	`size` integer NOT NULL
);
