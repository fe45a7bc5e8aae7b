BEGIN TRANSACTION;
CREATE TABLE account (
	id INTEGER NOT NULL, 
	login VARCHAR(80) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	password VARCHAR(255) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	active BOOLEAN NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_account PRIMARY KEY (id), 
	CONSTRAINT uq_account_login UNIQUE (login)
);
INSERT INTO "account" VALUES(1,'ada','Ada','$argon2id$v=19$m=19456,t=2,p=1$yeRfgaUO5kNCnXb7SCbbeA$Csib5cN36y399pOllYopRUrcTj2sBecFo33ObKi+Vg0','owner',1,1.0);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE assignment (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	item_id INTEGER NOT NULL, 
	rater_id INTEGER NOT NULL, 
	slot INTEGER, 
	part VARCHAR(12) NOT NULL, 
	shown JSON NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	late BOOLEAN NOT NULL, 
	leased_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	closed_at FLOAT NOT NULL, 
	judgement_id INTEGER, 
	choice INTEGER NOT NULL, 
	verdict VARCHAR(12) NOT NULL, 
	agrees INTEGER NOT NULL, 
	CONSTRAINT pk_assignment PRIMARY KEY (id), 
	CONSTRAINT fk_assignment_item_id FOREIGN KEY(item_id) REFERENCES item (id), 
	CONSTRAINT fk_assignment_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT fk_assignment_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id), 
	CONSTRAINT uq_assignment_item_id_rater_id UNIQUE (item_id, rater_id), 
	CONSTRAINT uq_assignment_item_id_slot UNIQUE (item_id, slot)
);
INSERT INTO "assignment" VALUES(1,1,1,1,0,'main','[1, 0]','done',0,1.0,1801.0,100.0,2,-1,'both_bad',-1);
CREATE TABLE attempt (
	id INTEGER NOT NULL, 
	"key" VARCHAR(160) NOT NULL, 
	at FLOAT NOT NULL, 
	CONSTRAINT pk_attempt PRIMARY KEY (id)
);
CREATE TABLE completion (
	id INTEGER NOT NULL, 
	prompt_id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	text TEXT NOT NULL, 
	source VARCHAR(200) NOT NULL, 
	CONSTRAINT pk_completion PRIMARY KEY (id), 
	CONSTRAINT fk_completion_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompt (id), 
	CONSTRAINT uq_completion_prompt_id_key UNIQUE (prompt_id, "key")
);
INSERT INTO "completion" VALUES(1,1,'e24e56f88ac0e5a8b9c3a5b7584abe20e7f139bb628f3aa37008f87bde719c97','answer 0.0','model-0');
INSERT INTO "completion" VALUES(2,1,'9e237aa1fc81c6613cebbed40ea0fe98f4799be9778868105b9553d14907ef39','answer 0.1','model-1');
INSERT INTO "completion" VALUES(3,2,'1ecfeead9be7dadad9f2da069145f66b1ba3c31c67cea10f9f999cb30219968c','answer 1.0','model-0');
INSERT INTO "completion" VALUES(4,2,'e345d996329e4767d71e0ed22c24e00168df2a342f4cf85ccb91bb66466b7f7a','answer 1.1','model-1');
CREATE TABLE conversation (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	rater_id INTEGER NOT NULL, 
	models JSON NOT NULL, 
	goal TEXT NOT NULL, 
	success INTEGER NOT NULL, 
	comment TEXT NOT NULL, 
	open BOOLEAN NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_conversation PRIMARY KEY (id), 
	CONSTRAINT fk_conversation_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT fk_conversation_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id)
);
CREATE TABLE draft (
	assignment_id INTEGER NOT NULL, 
	value JSON NOT NULL, 
	saved_at FLOAT NOT NULL, 
	CONSTRAINT pk_draft PRIMARY KEY (assignment_id), 
	CONSTRAINT fk_draft_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignment (id)
);
CREATE TABLE event (
	id INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	account_id INTEGER, 
	action VARCHAR(40) NOT NULL, 
	subject VARCHAR(160) NOT NULL, 
	detail JSON NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (id), 
	CONSTRAINT fk_event_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE TABLE item (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	prompt_id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	part VARCHAR(12) NOT NULL, 
	open BOOLEAN NOT NULL, 
	target INTEGER NOT NULL, 
	taken INTEGER NOT NULL, 
	done INTEGER NOT NULL, 
	place FLOAT NOT NULL, 
	chosen_by VARCHAR(16) NOT NULL, 
	completions JSON NOT NULL, 
	expected JSON NOT NULL, 
	explanation TEXT NOT NULL, 
	scores JSON NOT NULL, 
	CONSTRAINT pk_item PRIMARY KEY (id), 
	CONSTRAINT fk_item_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT fk_item_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompt (id), 
	CONSTRAINT uq_item_project_id_key UNIQUE (project_id, "key")
);
INSERT INTO "item" VALUES(1,1,1,'1f3297643e457f53ebd634334465a9c2c35952f0a8096501009ca8fbe0f4ff57','main',1,2,1,1,1.1025227772574339724e+00,'random','[1, 2]','{}','','[]');
INSERT INTO "item" VALUES(2,1,2,'9e8a8ba980aa0e23843ee95f5b4f37c8ee9ba26d7ae57cd02954983827c48d2e','main',1,2,0,0,1.11429308649801939168e+00,'random','[3, 4]','{}','','[]');
CREATE TABLE judgement (
	id INTEGER NOT NULL, 
	assignment_id INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	client_uuid VARCHAR(36) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	value JSON NOT NULL, 
	seconds FLOAT NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_judgement PRIMARY KEY (id), 
	CONSTRAINT fk_judgement_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignment (id), 
	CONSTRAINT uq_judgement_assignment_id_revision UNIQUE (assignment_id, revision), 
	CONSTRAINT uq_judgement_client_uuid UNIQUE (client_uuid)
);
INSERT INTO "judgement" VALUES(1,1,1,'00000000-0000-4000-8000-000000000001','f7affd75e038b54ac874124f70254b7f35f95b20ca29de59d8df0d787fc974f9','{"verdict": "prefer", "preferred": 1, "strength": 2}',1.0,100.0);
INSERT INTO "judgement" VALUES(2,1,2,'00000000-0000-4000-8000-000000000002','fb1ce3028732fb9943269f52437b6f8a8479e037159d0134cbc1692109dba8af','{"verdict": "both_bad"}',1.0,100.0);
CREATE TABLE link (
	hash VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	projects JSON NOT NULL, 
	account_id INTEGER, 
	expires_at FLOAT NOT NULL, 
	used BOOLEAN NOT NULL, 
	CONSTRAINT pk_link PRIMARY KEY (hash), 
	CONSTRAINT fk_link_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE TABLE member (
	project_id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	CONSTRAINT pk_member PRIMARY KEY (project_id, account_id), 
	CONSTRAINT fk_member_account_id FOREIGN KEY(account_id) REFERENCES account (id), 
	CONSTRAINT fk_member_project_id FOREIGN KEY(project_id) REFERENCES project (id)
);
CREATE TABLE notice (
	id INTEGER NOT NULL, 
	assignment_id INTEGER NOT NULL, 
	kind VARCHAR(12) NOT NULL, 
	text TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	CONSTRAINT pk_notice PRIMARY KEY (id), 
	CONSTRAINT fk_notice_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignment (id)
);
CREATE TABLE project (
	id INTEGER NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	about TEXT NOT NULL, 
	guidelines TEXT NOT NULL, 
	sheet JSON NOT NULL, 
	queue JSON NOT NULL, 
	seed INTEGER NOT NULL, 
	tail INTEGER NOT NULL, 
	open BOOLEAN NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_project PRIMARY KEY (id), 
	CONSTRAINT uq_project_name UNIQUE (name)
);
INSERT INTO "project" VALUES(1,'first','','','{"compare": "pair", "strength": 3, "ties": ["tie", "both_good", "both_bad"], "criteria": [], "flags": [], "steps": false, "edit": "off", "reason": "optional", "chat": "off"}','{"overlap": 2, "overlap_most": 2, "shared": 0.0, "shared_overlap": 3, "gold": 0.0, "training": 0, "lease_minutes": 30.0, "revise_hours": 24.0, "random": 0.2, "audit": 1.0, "suggestions": "hidden"}',1654005935,1,1,1.79527106955919432641e+09);
CREATE TABLE prompt (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	name VARCHAR(120) NOT NULL, 
	messages JSON NOT NULL, 
	meta JSON NOT NULL, 
	CONSTRAINT pk_prompt PRIMARY KEY (id), 
	CONSTRAINT fk_prompt_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT uq_prompt_project_id_key UNIQUE (project_id, "key")
);
INSERT INTO "prompt" VALUES(1,1,'b346d922b88506b0','q0','[{"role": "user", "content": "question 0"}]','{}');
INSERT INTO "prompt" VALUES(2,1,'eb69b2a07c9fdedb','q1','[{"role": "user", "content": "question 1"}]','{}');
CREATE TABLE rater (
	id INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	name VARCHAR(120) NOT NULL, 
	account_id INTEGER, 
	CONSTRAINT pk_rater PRIMARY KEY (id), 
	CONSTRAINT fk_rater_account_id FOREIGN KEY(account_id) REFERENCES account (id), 
	CONSTRAINT uq_rater_account_id UNIQUE (account_id), 
	CONSTRAINT uq_rater_name UNIQUE (name)
);
INSERT INTO "rater" VALUES(1,'human','rater-0',NULL);
CREATE TABLE seat (
	project_id INTEGER NOT NULL, 
	rater_id INTEGER NOT NULL, 
	part VARCHAR(12) NOT NULL, 
	place FLOAT NOT NULL, 
	item_id INTEGER NOT NULL, 
	drawn INTEGER NOT NULL, 
	CONSTRAINT pk_seat PRIMARY KEY (project_id, rater_id, part), 
	CONSTRAINT fk_seat_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT fk_seat_rater_id FOREIGN KEY(rater_id) REFERENCES rater (id)
);
INSERT INTO "seat" VALUES(1,1,'main',1.1025227772574339724e+00,1,1);
CREATE TABLE session (
	hash VARCHAR(64) NOT NULL, 
	account_id INTEGER NOT NULL, 
	expires_at FLOAT NOT NULL, 
	CONSTRAINT pk_session PRIMARY KEY (hash), 
	CONSTRAINT fk_session_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE TABLE token (
	id INTEGER NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	account_id INTEGER NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	scopes JSON NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	used_at FLOAT NOT NULL, 
	revoked BOOLEAN NOT NULL, 
	CONSTRAINT pk_token PRIMARY KEY (id), 
	CONSTRAINT fk_token_account_id FOREIGN KEY(account_id) REFERENCES account (id), 
	CONSTRAINT uq_token_hash UNIQUE (hash)
);
CREATE TABLE turn (
	id INTEGER NOT NULL, 
	conversation_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	client_uuid VARCHAR(36) NOT NULL, 
	text TEXT NOT NULL, 
	assignment_id INTEGER NOT NULL, 
	CONSTRAINT pk_turn PRIMARY KEY (id), 
	CONSTRAINT fk_turn_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignment (id), 
	CONSTRAINT fk_turn_conversation_id FOREIGN KEY(conversation_id) REFERENCES conversation (id), 
	CONSTRAINT uq_turn_client_uuid UNIQUE (client_uuid), 
	CONSTRAINT uq_turn_conversation_id_number UNIQUE (conversation_id, number)
);
CREATE INDEX ix_attempt_key_at ON attempt ("key", at);
CREATE INDEX ix_item_project_id_done ON item (project_id, part, done);
CREATE INDEX ix_item_waiting ON item (project_id, part, place, id) WHERE open = 1;
CREATE INDEX ix_assignment_counts ON assignment (project_id, rater_id, state, part, verdict, choice, agrees);
CREATE INDEX ix_assignment_mine ON assignment (rater_id, project_id, state, closed_at);
CREATE INDEX ix_assignment_running ON assignment (rater_id, project_id, expires_at) WHERE state = 'leased';
CREATE INDEX ix_conversation_project_id_rater_id ON conversation (project_id, rater_id);
CREATE TRIGGER judgement_no_update BEFORE UPDATE ON judgement BEGIN SELECT RAISE(ABORT, 'judgement is append-only'); END;
CREATE TRIGGER judgement_no_delete BEFORE DELETE ON judgement BEGIN SELECT RAISE(ABORT, 'judgement is append-only'); END;
CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'event is append-only'); END;
CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'event is append-only'); END;
CREATE TRIGGER notice_no_update BEFORE UPDATE ON notice BEGIN SELECT RAISE(ABORT, 'notice is append-only'); END;
CREATE TRIGGER notice_no_delete BEFORE DELETE ON notice BEGIN SELECT RAISE(ABORT, 'notice is append-only'); END;
COMMIT;
