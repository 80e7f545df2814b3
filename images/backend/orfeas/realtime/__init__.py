"""The process that tells browsers how their jobs are going, by Socket.IO."""
