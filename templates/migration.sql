-- Migration: {{file}}
-- Description: {{description}}
-- Author: {{author}}

BEGIN;

-- This example runs unchanged. Replace it with your change, and replace the rollback with the
-- statements that undo your change

-- Create table
CREATE TABLE {{subject}}_examples (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(100) NOT NULL,
    updated_at TIMESTAMPTZ DEFAULT NOW()
);

-- Create indexes
CREATE INDEX idx_{{subject}}_examples_name ON {{subject}}_examples(name);

-- Create triggers
CREATE TRIGGER update_{{subject}}_examples BEFORE UPDATE ON {{subject}}_examples
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- Comments
COMMENT ON TABLE {{subject}}_examples IS 'What one row of {{subject}}_examples stands for';

COMMIT;
