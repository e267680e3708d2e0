-- Migration: {{file}}
-- Description: {{description}}
-- Author: {{author}}

BEGIN;

-- This example runs unchanged. Replace it with your change, and replace the rollback with the
-- statements that undo your change

-- Create table
CREATE TABLE {{subject}}_example (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(100) NOT NULL,
    updated_at TIMESTAMPTZ DEFAULT NOW()
);

-- Create indexes
CREATE INDEX idx_{{subject}}_example_name ON {{subject}}_example(name);

-- Create triggers
CREATE TRIGGER update_{{subject}}_example BEFORE UPDATE ON {{subject}}_example
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

COMMIT;
