-- Migration: {{file}}
-- Description: {{description}}
-- Author: {{author}}

BEGIN;

-- Create table
CREATE TABLE {{subject}} (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    name VARCHAR(100) NOT NULL,
    status VARCHAR(20) DEFAULT 'active' CHECK (status IN ('active', 'archived')),
    created_at TIMESTAMPTZ DEFAULT NOW(),
    updated_at TIMESTAMPTZ DEFAULT NOW(),
    deleted_at TIMESTAMPTZ,

    CONSTRAINT fk_{{subject}}_users FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

-- Create indexes
CREATE INDEX idx_{{subject}}_user_id ON {{subject}}(user_id);
CREATE INDEX idx_{{subject}}_deleted_at ON {{subject}}(deleted_at) WHERE deleted_at IS NULL;

-- Create triggers
CREATE TRIGGER update_{{subject}}_updated_at BEFORE UPDATE ON {{subject}}
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

-- Comments
COMMENT ON TABLE {{subject}} IS 'What one row of {{subject}} stands for';
COMMENT ON COLUMN {{subject}}.status IS 'active or archived';
COMMENT ON COLUMN {{subject}}.deleted_at IS 'Soft delete: NULL while the row is in use; queries exclude deleted rows';

COMMIT;
