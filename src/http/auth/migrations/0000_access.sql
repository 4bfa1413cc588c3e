CREATE TABLE `side_audit` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`time_ms` integer NOT NULL,
	`user` text NOT NULL,
	`via` text NOT NULL,
	`address` text NOT NULL,
	`method` text NOT NULL,
	`path` text NOT NULL,
	`status` integer NOT NULL,
	`detail` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `side_sessions` (
	`hash` text PRIMARY KEY NOT NULL,
	`user` text NOT NULL,
	`created_ms` integer NOT NULL,
	`expires_ms` integer NOT NULL,
	`seen_ms` integer NOT NULL,
	`address` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `side_tokens` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`hash` text NOT NULL,
	`user` text NOT NULL,
	`name` text NOT NULL,
	`role` text NOT NULL,
	`created_ms` integer NOT NULL,
	`expires_ms` integer NOT NULL,
	`seen_ms` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `side_tokens_hash_unique` ON `side_tokens` (`hash`);--> statement-breakpoint
CREATE TABLE `side_users` (
	`name` text PRIMARY KEY NOT NULL,
	`role` text NOT NULL,
	`password_hash` text NOT NULL,
	`created_ms` integer NOT NULL
);
